//! JSON from clients; what is accepted has a canonical form that is accepted again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if sealwright_core::json::check(bytes).is_ok()
        && let Ok(canonical) = sealwright_core::json::canonicalize(bytes)
    {
        assert_eq!(sealwright_core::json::canonicalize(&canonical).ok(), Some(canonical));
    }
});
