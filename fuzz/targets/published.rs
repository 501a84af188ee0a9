//! What is published of keys and what comes with them: envelopes with trust documents under any pin, certificates.
#![no_main]

use sealwright_core::certificate::check_chain;
use sealwright_core::dsse::Envelope;
use sealwright_core::spki::Spki;
use sealwright_core::trust::{Document, signed};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = check_chain(&Spki::from_der(Vec::new()), &[bytes]);
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    let Ok(document) = Document::parse(envelope.pae().payload) else { return };
    for key in document.keys() {
        for version in &key.versions {
            let _ = signed::verify(envelope.clone(), version.spki.sha256());
        }
    }
});
