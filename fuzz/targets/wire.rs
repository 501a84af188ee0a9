//! Frames between daemon and driver.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sealwright_driver_api::wire::decode::<sealwright_driver_api::wire::ToDriver>(bytes);
    let _ = sealwright_driver_api::wire::decode::<sealwright_driver_api::wire::FromDriver>(bytes);
    let _ = sealwright_driver_api::wire::read::<sealwright_driver_api::wire::FromDriver>(&mut &*bytes);
});
