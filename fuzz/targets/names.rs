//! Key URIs and names: one value, one spelling.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(uri) = text.parse::<sealwright_core::uri::KeyUri>() {
        assert_eq!(uri.to_string().parse(), Ok(uri));
    }
    if let Ok(id) = text.parse::<sealwright_core::name::KeyVersionId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
});
