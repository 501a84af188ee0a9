//! Evidence documents.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sealwright_core::evidence::Document::parse(bytes);
});
