//! Evidence documents.
#![no_main]

use sealwright_core::evidence::{Document, Roots};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else {
        return;
    };
    let _ = document.verify(document.spki.sha256(), None, &Roots::default());
    let _ = document.activation([0; 96]);
});
