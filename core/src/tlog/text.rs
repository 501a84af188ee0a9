//! The two spellings that every C2SP text format shares, each with exactly one form per value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;

/// An ASCII decimal below 2^64 without sign or leading zero.
pub(super) fn decimal(text: &str) -> Option<u64> {
    // `u64::from_str` takes "+1" and "01", which would give one number two spellings.
    if !text.bytes().all(|b| b.is_ascii_digit()) || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// A 32-byte hash in standard base64.
pub(super) fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// The opposite of [`hash`].
pub(super) fn encode(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for refused in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "0x1",
            "18446744073709551616",
            "\u{0661}",
        ] {
            assert_eq!(decimal(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let text = encode(&[0xfb; 32]);
        assert_eq!(hash(&text), Some([0xfb; 32]));
        for refused in [
            text.trim_end_matches('='),
            &text.replace('+', "-"),
            "AAAA",
            "",
        ] {
            assert_eq!(hash(refused), None, "{refused:?}");
        }
        // The last digit carries two bits that no hash has: another spelling of the same bytes.
        assert_eq!(hash(&text.replace("s=", "t=")), None);
    }
}
