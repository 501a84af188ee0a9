//! Assertions of FIDO2 keys in the place of signatures, and attestation objects.
#![no_main]

use sealwright_core::webauthn::{Assertion, Attestation, Demand, Makers, RP_ID};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(assertion) = Assertion::from_bytes(bytes) {
        let _ = assertion.check(RP_ID, Demand::Verification);
    }
    let makers = Makers {
        roots: &[],
        now: Default::default(),
    };
    let _ = Attestation::verify(bytes, b"", RP_ID, makers);
});
