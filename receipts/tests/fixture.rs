//! The input in `fixtures/receipts`, and its hash by each rule.
#![allow(clippy::unwrap_used)]

use sealwright_receipts::canonical::{Nulls, Rule, hash};

const INPUT: &[u8] = include_bytes!("../../fixtures/receipts/receipt-input.json");
const HASHES: &str = include_str!("../../fixtures/receipts/receipt-input.sha256");

#[test]
fn the_fixture_has_its_hash_by_each_rule() {
    let lines: Vec<_> = HASHES.lines().collect();
    assert_eq!(lines.len(), Rule::ALL.len());
    for (line, rule) in lines.into_iter().zip(Rule::ALL) {
        let got = hash(INPUT, rule, Nulls::DropMembers).unwrap();
        assert_eq!(line, format!("{got}  {rule}"));
    }
}
