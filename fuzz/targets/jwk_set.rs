//! Key sets of issuers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sealwright_core::jose::PublicJwk::parse(bytes);
    if let Ok(set) = sealwright_core::jose::JwkSet::parse(bytes) {
        assert!((1..=sealwright_core::jose::KEYS_MAX).contains(&set.len()));
    }
});
