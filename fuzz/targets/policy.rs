//! Policy text: bounded before Cedar parses it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = sealwright_policy::CedarPolicy::parse(text, &[]);
});
