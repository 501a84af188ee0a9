//! CVSS vectors: what is read is written the same, scored and converted.
#![no_main]

use sealwright_receipts::cvss::{Standard, Vector, convert, score_v31, score_v40};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(vector) = Vector::parse(Standard::V40, text) {
        assert!(score_v40(&vector).score.tenths() <= 100);
        assert_eq!(Vector::parse(Standard::V40, &vector.to_string()), Ok(vector));
    }
    if let Ok(vector) = Vector::parse(Standard::V31, text) {
        assert!(score_v31(&vector).environmental.tenths() <= 100);
        assert!(convert(&vector).is_ok());
    }
});
