//! What recovery reads: any segment, sound or not, must end somewhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use sealwright_core::journal::{Chain, SegmentHeader, scan};
    let header = SegmentHeader { segment: 0, chain: Chain::default() };
    let mut segment = header.encode();
    segment.extend_from_slice(bytes);
    let _ = scan(&segment, &header, &mut |_, _| {});
    let _ = SegmentHeader::decode(bytes);
});
