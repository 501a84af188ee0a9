//! EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) for SHA-256: a PIV card applies the bare RSA operation to a full block.

/// DigestInfo of SHA-256 up to the digest (RFC 8017 section 9.2, note 1).
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// The block of `len` bytes that stands for `digest`, 32 bytes.
pub(crate) fn padded_sha256(digest: &[u8], len: usize) -> Vec<u8> {
    let info = [&SHA256_INFO, digest].concat();
    let padding = vec![0xff; len.saturating_sub(info.len() + 3)];
    [&[0x00, 0x01][..], &padding, &[0x00], &info].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_padding_around_the_digest() {
        let block = padded_sha256(&[7; 32], 256);
        assert_eq!(block.len(), 256);
        assert_eq!(block[..2], [0, 1]);
        assert!(block[2..204].iter().all(|byte| *byte == 0xff));
        assert_eq!(block[204], 0);
        assert_eq!(block[205..224], SHA256_INFO);
        assert_eq!(block[224..], [7; 32]);
    }
}
