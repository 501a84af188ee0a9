//! A card's certificate for a key, and its own.
#![no_main]

use sealwright_core::evidence::{Bytes, Document, PivStatement, Roots, Statement, TokenIdentity};
use sealwright_core::spki::Spki;

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (certificate, device, spki) = input;
    let roots = Roots::new(&[&device]).unwrap_or_default();
    let statement = PivStatement {
        certificate: Bytes(certificate),
        device_chain: vec![Bytes(device)],
    };
    let _ = statement.facts();
    let text = String::new;
    let token = TokenIdentity {
        kind: text(),
        label: text(),
        serial: text(),
        manufacturer: text(),
        model: text(),
        firmware: text(),
    };
    let Ok(uri) = "piv:slot=9c".parse() else { return };
    let statement = Statement::PivAttestation(statement);
    let document = Document::new(Default::default(), token, uri, Spki::from_der(spki), statement);
    let _ = document.verify(document.spki.sha256(), None, &roots);
});
