//! Signed notes, checkpoints, verifier keys, tile paths.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(note) = sealwright_core::tlog::Note::parse(text) {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(checkpoint) = text.parse::<sealwright_core::tlog::Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text);
    }
    let _ = text.parse::<sealwright_core::tlog::VerifierKey>();
    let _ = text.parse::<sealwright_core::tlog::TilePath>();
});
