//! in-toto statements.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use sealwright_core::statement::{Accept, check};
    let _ = check(bytes, Accept::V1);
    let _ = check(bytes, Accept::AlsoV01);
});
