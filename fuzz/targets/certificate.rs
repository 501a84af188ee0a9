//! Client certificates: one identity or none.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sealwright_core::identity::identity_of(bytes, true);
});
