//! DSSE envelopes and Sigstore bundles from strangers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sealwright_core::dsse::Envelope::parse(bytes);
    let _ = sealwright_core::bundle::Bundle::parse(bytes);
});
