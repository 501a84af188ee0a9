//! Records and leaves read back from a journal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use sealwright_core::record::{Leaf, Record};
    use sealwright_core::state::State;
    if let Ok(leaf) = Leaf::from_bytes(bytes) {
        assert_eq!(leaf.to_bytes(), bytes);
    }
    let _ = sealwright_core::json::from_slice::<Record>(bytes).map(|record| State::default().apply(&record));
});
