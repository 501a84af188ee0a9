//! The canonical form of receipts: what has one has it for good, and by any library for RFC 8785.
#![no_main]

use sealwright_receipts::canonical::{Nulls, Rule, canonicalize};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(once) = canonicalize(bytes, Rule::Q4, Nulls::DropMembers) else { return };
    assert_eq!(canonicalize(&once, Rule::Q4, Nulls::Keep).ok(), Some(once.clone()));
    assert_eq!(sealwright_core::json::canonicalize(&once).ok(), Some(once.clone()));
    let fixed = canonicalize(bytes, Rule::Fixed4, Nulls::DropMembers).expect("both rules take the same texts");
    assert_eq!(canonicalize(&fixed, Rule::Q4, Nulls::Keep).ok(), Some(once));
});
