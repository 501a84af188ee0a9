//! The list of denied keys: lines of whatever an editor left there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = sealwright_core::deny::DenyList::parse(text);
});
