//! The Ed25519 `cosignature/v1` of a witness (C2SP `tlog-cosignature`).

/// The latest time a cosignature can carry.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// What a cosigner signs: `body` is the whole text of the checkpoint, `time` in Unix seconds.
pub fn message(time: u64, body: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{body}")
}

/// The signature of a note line: the time as a big-endian u64, then the Ed25519 signature over [`message`].
pub fn encode(time: u64, signature: &[u8; 64]) -> Vec<u8> {
    [&time.to_be_bytes()[..], signature].concat()
}

/// The opposite of [`encode`]; `None` where the length or the time is out of range.
pub fn decode(bytes: &[u8]) -> Option<(u64, &[u8; 64])> {
    let (time, signature) = bytes.split_first_chunk()?;
    let time = u64::from_be_bytes(*time);
    let signature = signature.try_into().ok()?;
    (time <= MAX_TIME).then_some((time, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_that_of_the_specification() {
        let body =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let message = message(1_679_315_147, body);
        assert_eq!(message, format!("cosignature/v1\ntime 1679315147\n{body}"));
    }

    #[test]
    fn a_cosignature_is_seventy_two_bytes_with_a_time_below_two_to_the_sixty_three() {
        let bytes = encode(MAX_TIME, &[7; 64]);
        assert_eq!(bytes.len(), 72);
        assert_eq!(decode(&bytes), Some((MAX_TIME, &[7; 64])));
        assert_eq!(decode(&encode(MAX_TIME + 1, &[7; 64])), None);
        assert_eq!(decode(&bytes[..71]), None);
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode(&[]), None);
    }
}
