//! Requests for receipts, and receipts: what is made of a request is read back.
#![no_main]

use sealwright_core::time::Timestamp;
use sealwright_receipts::{Origin, Receipt, Request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Receipt::read(bytes);
    let Ok(request) = Request::read(bytes) else { return };
    let tenant = sealwright_core::name::Tenant::default();
    let origin = Origin { tenant: &tenant, created_at: Timestamp::from_unix_millis(7), created_by: "p" };
    let statement = request.statement(&origin).expect("what was read has a statement");
    let receipt = Receipt::read(&statement.bytes).expect("what was made is read");
    assert_eq!((receipt.id, receipt.inputs_hash), (statement.id, statement.inputs_hash));
});
