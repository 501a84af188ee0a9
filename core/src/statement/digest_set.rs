//! The digests of a subject.

use std::collections::BTreeMap;

/// Most digests of one subject.
pub const DIGESTS_MAX: usize = 16;

/// Longest algorithm name in bytes.
pub const ALGORITHM_NAME_MAX: usize = 32;

/// Longest digest of an algorithm we do not know, in hex digits.
const UNKNOWN_HEX_MAX: usize = 256;

/// Hex digits of the algorithms we know (in-toto DigestSet).
const HEX_DIGITS: [(&str, usize); 19] = [
    ("sha1", 40),
    ("gitCommit", 40),
    ("gitTree", 40),
    ("gitBlob", 40),
    ("gitTag", 40),
    ("sha224", 56),
    ("sha256", 64),
    ("sha384", 96),
    ("sha512", 128),
    ("sha512_224", 56),
    ("sha512_256", 64),
    ("sha3_224", 56),
    ("sha3_256", 64),
    ("sha3_384", 96),
    ("sha3_512", 128),
    ("md5", 32),
    ("ripemd160", 40),
    ("sm3", 64),
    ("gost", 64),
];

/// Why a subject's digests are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No digest at all.
    #[error("it has no digest; a subject is matched by digest only")]
    None,
    /// Too many.
    #[error("it has {0} digests, at most {DIGESTS_MAX} are accepted")]
    TooMany(usize),
    /// A name that cannot be one.
    #[error(
        "{0:?} is no digest algorithm: at most {ALGORITHM_NAME_MAX} ASCII letters, digits, '_', '-', '.'"
    )]
    Algorithm(String),
    /// A digest of a known algorithm that is not one.
    #[error("its {algorithm} digest is not {digits} lower-case hex digits")]
    Value {
        /// The algorithm.
        algorithm: String,
        /// Digits of its digests.
        digits: usize,
    },
    /// A digest of an unknown algorithm that cannot be one.
    #[error(
        "its {0} digest is not an even number of lower-case hex digits, at most {UNKNOWN_HEX_MAX}"
    )]
    UnknownValue(String),
}

/// Checks one subject's digests.
pub(super) fn check(digests: &BTreeMap<String, String>) -> Result<(), DigestError> {
    if digests.is_empty() {
        return Err(DigestError::None);
    }
    if digests.len() > DIGESTS_MAX {
        return Err(DigestError::TooMany(digests.len()));
    }
    digests
        .iter()
        .try_for_each(|(algorithm, value)| check_one(algorithm, value))
}

fn check_one(algorithm: &str, value: &str) -> Result<(), DigestError> {
    let name_ok = (1..=ALGORITHM_NAME_MAX).contains(&algorithm.len())
        && algorithm
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !name_ok {
        return Err(DigestError::Algorithm(super::excerpt(algorithm)));
    }
    let hex = value
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let known = HEX_DIGITS
        .iter()
        .find(|(name, _)| *name == algorithm)
        .map(|(_, digits)| *digits);
    match known {
        Some(digits) if hex && value.len() == digits => Ok(()),
        Some(digits) => Err(DigestError::Value {
            algorithm: algorithm.to_owned(),
            digits,
        }),
        None if hex
            && value.len().is_multiple_of(2)
            && (2..=UNKNOWN_HEX_MAX).contains(&value.len()) =>
        {
            Ok(())
        }
        None => Err(DigestError::UnknownValue(algorithm.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_the_length_of_its_algorithm_in_lower_case_hex() {
        for (algorithm, digits) in HEX_DIGITS {
            assert_eq!(check_one(algorithm, &"a".repeat(digits)), Ok(()));
            for bad in [
                "a".repeat(digits - 1),
                "A".repeat(digits),
                "g".repeat(digits),
                String::new(),
            ] {
                assert!(check_one(algorithm, &bad).is_err(), "{algorithm} {bad}");
            }
        }
    }

    #[test]
    fn an_algorithm_we_do_not_know_needs_whole_bytes_in_lower_case_hex() {
        assert_eq!(check_one("blake2b", &"0f".repeat(32)), Ok(()));
        assert_eq!(check_one("x", &"0".repeat(UNKNOWN_HEX_MAX)), Ok(()));
        for bad in ["", "0", "0F", "zz", &"0".repeat(UNKNOWN_HEX_MAX + 2)] {
            assert_eq!(
                check_one("x", bad),
                Err(DigestError::UnknownValue("x".into())),
                "{bad}"
            );
        }
    }

    #[test]
    fn names_and_number_of_algorithms_are_bounded() {
        check_one(&"x".repeat(ALGORITHM_NAME_MAX), "00").unwrap();
        for bad in [
            "",
            "sha 256",
            "sh\u{e4}",
            &"x".repeat(ALGORITHM_NAME_MAX + 1),
        ] {
            assert!(
                matches!(check_one(bad, "00"), Err(DigestError::Algorithm(_))),
                "{bad}"
            );
        }
        let digests = |n: usize| (0..n).map(|i| (format!("x{i}"), "00".to_owned())).collect();
        assert_eq!(check(&digests(DIGESTS_MAX)), Ok(()));
        assert_eq!(
            check(&digests(DIGESTS_MAX + 1)),
            Err(DigestError::TooMany(DIGESTS_MAX + 1))
        );
        assert_eq!(check(&digests(0)), Err(DigestError::None));
    }
}
