//! Trust documents.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = sealwright_core::trust::Document::parse(bytes) else { return };
    let text = document.to_json().expect("what was read can be written");
    assert_eq!(sealwright_core::trust::Document::parse(text.as_bytes()).ok(), Some(document));
});
