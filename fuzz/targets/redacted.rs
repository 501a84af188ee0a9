//! Batches without some of their bodies: any payload under a digest that fits, and what is read is written the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    use sealwright_core::digest::Sha256Digest;
    use sealwright_core::journal::{Chain, Rewritable, decode_batch};
    let len = payload.len().next_multiple_of(8);
    let count = payload.first().map_or(1, |byte| u32::from(*byte % 8));
    let mut batch = [&b"SWR1"[..], &count.to_le_bytes(), &[0; 24]].concat();
    batch.extend((len as u32).to_le_bytes());
    batch.extend([0; 4 + 32 + 32]);
    let own = Sha256Digest::of(&[&batch, payload, &vec![0; len - payload.len()]]);
    batch.extend(own.0);
    batch.extend(payload);
    batch.resize(136 + len, 0);
    if let Ok((kept, read, after)) = decode_batch(&batch, 0, Chain::default()) {
        assert_eq!(read, batch.len());
        let again = Rewritable { segment: 0, before: Chain::default(), after, kept };
        let written = again.encode(None).expect("it has no length to keep");
        let (kept, _, end) = decode_batch(&written, 0, Chain::default()).expect("our own");
        assert_eq!((kept, end), (again.kept, after));
    }
});
