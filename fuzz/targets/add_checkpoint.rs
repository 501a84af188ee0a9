//! Requests to a witness, and its answers.
#![no_main]

use sealwright_core::tlog::add_checkpoint::SIZE_MEDIA_TYPE;
use sealwright_core::tlog::{AddCheckpoint, WitnessAnswer};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = WitnessAnswer::read(200, None, bytes);
    let _ = WitnessAnswer::read(409, Some(SIZE_MEDIA_TYPE), bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(request) = text.parse::<AddCheckpoint>() {
        assert_eq!(request.to_string(), text);
        let _ = request.judge(&[], None);
    }
});
