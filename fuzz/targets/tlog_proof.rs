//! Log proofs and witness policies.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = text.parse::<sealwright_core::tlog::TlogProof>();
    let _ = text.parse::<sealwright_core::tlog::Policy>();
});
