//! Receipts in the fold: one chain per tenant and thing.
#![allow(clippy::unwrap_used)]

#[path = "support/fold.rs"]
mod fold;

use fold::{push, signed, state};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::journal::Gone;
use sealwright_core::key::{KeyEvent, Purpose};
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, ReceiptFacts, SignFacts, SignIntent, authorise};
use sealwright_core::receipt::{Follows, PREDICATE_TYPE, ReceiptId, Relation, about};
use sealwright_core::record::{Event, Outcome, ReceiptIssued, Rest, SignRecord};
use sealwright_core::state::{State, StateError};
use sealwright_core::time::Timestamp;

fn id(n: u8) -> ReceiptId {
    ReceiptId(Sha256Digest([n; 32]))
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn mine() -> Tenant {
    Tenant::default()
}

/// The record of receipt `n`, made at so many milliseconds.
fn record(tenant: &str, n: u8, subject: &str, follows: Option<u8>) -> SignRecord {
    let key = format!("{tenant}/receipts#1").parse().unwrap();
    let Event::Sign(mut sign) = signed(&key) else {
        unreachable!("a signature")
    };
    sign.payload_sha256 = Some(id(n).0);
    sign.receipt = Some(Box::new(ReceiptIssued {
        receipt_type: "generic/1".to_owned(),
        subject: subject.to_owned(),
        issued_at: at(n.into()),
        follows: follows.map(|n| Follows {
            relation: Relation::Amends,
            receipt: id(n),
        }),
        signature: None,
    }));
    *sign
}

fn issue(
    state: &mut State,
    tenant: &str,
    n: u8,
    subject: &str,
    follows: Option<u8>,
) -> Result<(), StateError> {
    push(
        state,
        Event::Sign(Box::new(record(tenant, n, subject, follows))),
    )
}

fn code(result: Result<(), StateError>) -> Code {
    result.unwrap_err().code()
}

fn current(state: &State, subject: &str, time: Option<i64>) -> Option<ReceiptId> {
    let about = about("generic/1", subject);
    let found = state.current_receipt(&mine(), about, time.map(at));
    found.map(|(id, _)| id)
}

#[test]
fn the_current_receipt_is_the_newest_or_was_at_the_time() {
    let mut state = state([]);
    issue(&mut state, "default", 10, "a", None).unwrap();
    issue(&mut state, "default", 20, "a", Some(10)).unwrap();
    issue(&mut state, "default", 15, "b", None).unwrap();
    assert_eq!(current(&state, "a", None), Some(id(20)));
    assert_eq!(current(&state, "a", Some(19)), Some(id(10)));
    assert_eq!(current(&state, "a", Some(9)), None);
    assert_eq!(current(&state, "b", None), Some(id(15)));
    let chain = state.receipt_chain(&mine(), id(10)).into_iter();
    assert_eq!(
        chain.map(|(id, _)| id).collect::<Vec<_>>(),
        [id(10), id(20)]
    );
    let first = state.receipt(&mine(), id(10)).unwrap();
    assert_eq!((first.index, first.followed_by), (1, Some(id(20))));
}

#[test]
fn a_receipt_that_cannot_stand_where_it_would_is_refused_and_changes_nothing() {
    let mut state = state([]);
    issue(&mut state, "default", 1, "a", None).unwrap();
    issue(&mut state, "default", 2, "a", Some(1)).unwrap();
    let before = state.clone();
    for (n, subject, follows, expected) in [
        (3, "a", Some(1), Code::ReceiptFollowed),
        (3, "a", None, Code::ReceiptExists),
        (2, "a", Some(2), Code::ReceiptExists),
        (3, "a", Some(3), Code::ReceiptFollowsItself),
        (3, "a", Some(9), Code::UnknownReceipt),
        (3, "b", Some(2), Code::ReceiptOtherSubject),
    ] {
        let refused = issue(&mut state, "default", n, subject, follows);
        assert_eq!(code(refused), expected, "{n} {subject} {follows:?}");
        assert_eq!(state, before);
    }
}

#[test]
fn a_tenant_sees_nothing_of_anothers_receipts() {
    let mut state = state([]);
    issue(&mut state, "acme", 1, "a", None).unwrap();
    let (theirs, nobodys) = (Some(1), Some(9));
    let text = |follows: Option<u8>, state: &mut State| {
        let error = issue(state, "default", 3, "a", follows).unwrap_err();
        error
            .to_string()
            .replace(&id(follows.unwrap()).to_string(), "ID")
    };
    assert_eq!(text(theirs, &mut state), text(nobodys, &mut state));
    assert_eq!(state.receipt(&mine(), id(1)), None);
    assert!(state.receipt_chain(&mine(), id(1)).is_empty());
    issue(&mut state, "default", 2, "a", None).unwrap();
    assert_eq!(current(&state, "a", None), Some(id(2)));
}

#[test]
fn a_receipt_that_was_not_released_leaves_its_place_free() {
    let mut state = state([]);
    for outcome in [Outcome::Denied, Outcome::Discarded, Outcome::OutcomeUnknown] {
        let mut sign = record("default", 1, "a", None);
        sign.outcome = outcome;
        push(&mut state, Event::Sign(Box::new(sign))).unwrap();
    }
    assert_eq!(current(&state, "a", None), None);
    issue(&mut state, "default", 1, "a", None).unwrap();
}

#[test]
fn a_receipt_keeps_its_place_when_the_body_of_its_record_is_gone() {
    for gone in [Gone::Archived, Gone::Erased { by: 0 }] {
        let mut whole = state([]);
        issue(&mut whole, "default", 1, "a", None).unwrap();
        let event = Event::Sign(Box::new(record("default", 1, "a", None)));
        let rest = Rest::from_bytes(&Rest::of_archived(&event).unwrap().to_bytes()).unwrap();
        let mut redacted = state([]);
        let (index, time) = (redacted.next_index(), whole.last_time());
        redacted.apply_redacted(index, time, gone, &rest).unwrap();
        assert_eq!(redacted, whole, "{gone:?}");
        let again = issue(&mut redacted, "default", 2, "a", None);
        assert_eq!(code(again), Code::ReceiptExists);
    }
}

#[test]
fn the_fold_with_receipts_survives_its_snapshot() {
    let mut state = state([]);
    issue(&mut state, "default", 1, "a", None).unwrap();
    issue(&mut state, "default", 2, "a", Some(1)).unwrap();
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
}

#[test]
fn a_receipts_statement_is_signed_for_the_daemon_and_for_no_client() {
    let key = "default/receipts#1";
    let state = state([
        fold::enrolled(key, Purpose::Dsse),
        fold::changed(key, KeyEvent::Activate),
    ]);
    let client = fold::principal("default");
    let name = "receipts".parse().unwrap();
    let facts = SignFacts {
        payload_type: fold::STATEMENT,
        predicate_type: Some(PREDICATE_TYPE),
        predicate_known: false,
        subjects: &[],
        payload_len: 1,
        receipt: None,
    };
    let ask = |facts| {
        let intent = SignIntent {
            principal: &client,
            peer: fold::PEER,
            key: &name,
            facts,
            pae_sha256: Sha256Digest::default(),
            token: sealwright_core::permit::Shown::Nothing,
            now: at(1),
            deadline: std::time::Instant::now(),
        };
        authorise(&state, &fold::allow(), &intent).map(|_| ())
    };
    let refused = ask(facts).unwrap_err();
    assert_eq!(refused.code(), Code::UnsupportedPredicateType);
    let receipt = ReceiptFacts {
        receipt_type: "generic/1",
        metric_groups: &[],
        follows: None,
    };
    let facts = SignFacts {
        receipt: Some(receipt),
        ..facts
    };
    assert_eq!(facts.action(), Action::IssueReceipt);
    ask(facts).unwrap();
}

#[test]
fn receipts_stand_in_a_snapshot_as_objects_in_the_order_of_their_names() {
    let mut state = state([]);
    issue(&mut state, "default", 2, "a", None).unwrap();
    issue(&mut state, "default", 1, "a", Some(2)).unwrap();
    let text = serde_json::to_string(&state).unwrap();
    let (first, second, about) = (id(1), id(2), about("generic/1", "a"));
    let written = format!(
        "\"receipts\":{{\"default\":{{\"issued\":{{\
         \"{first}\":{{\"index\":2,\"issued_at\":\"1970-01-01T00:00:00.001Z\",\"about\":\"{about}\",\
         \"follows\":{{\"relation\":\"amends\",\"receipt\":\"{second}\"}},\"followed_by\":null}},\
         \"{second}\":{{\"index\":1,\"issued_at\":\"1970-01-01T00:00:00.002Z\",\"about\":\"{about}\",\
         \"follows\":null,\"followed_by\":\"{first}\"}}}},\
         \"newest\":{{\"{about}\":\"{first}\"}}}}}}"
    );
    assert!(text.contains(&written), "{text}");
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
}
