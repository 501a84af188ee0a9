//! What is published of keys, as the fold takes it: with the next number, of what is so, by a key that signs.
#![allow(clippy::unwrap_used)]

#[path = "support/fold.rs"]
mod support;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::{KeyEvent, Purpose};
use sealwright_core::name::Tenant;
use sealwright_core::record::{
    CrlIssued, Event, KeyRevocation, Record, SCHEMA_VERSION, TrustPublished,
};
use sealwright_core::state::{State, StateError};
use sealwright_core::time::Timestamp;
use support::{by, changed, compromised, enrolled, push, state};

fn active(purpose: Purpose) -> State {
    state([
        enrolled("release#1", purpose),
        changed("release#1", KeyEvent::Activate),
    ])
}

fn published(serial: u64, as_of: u64) -> Event {
    Event::TrustPublished(TrustPublished {
        serial,
        signed_by: "release#1".parse().unwrap(),
        as_of,
        document_sha256: Sha256Digest::default(),
        envelope_sha256: Sha256Digest::default(),
        valid_until: None,
        by: by(),
    })
}

#[test]
fn a_trust_document_is_the_next_one_and_says_what_is_so() {
    let mut state = active(Purpose::Dsse);
    let tenant = Tenant::default();
    assert_eq!(state.next_trust_serial(&tenant), 1);
    push(&mut state, published(1, 3)).unwrap();
    assert_eq!(state.next_trust_serial(&tenant), 2);
    let outdated = Err(StateError::TrustOutdated(tenant.clone()));
    // The number was given already, is skipped, or the records that it speaks of do not exist.
    for event in [published(1, 4), published(3, 4), published(2, 5)] {
        assert_eq!(push(&mut state, event), outdated);
    }
    // A key was enrolled, or found compromised, after the document was made.
    push(&mut state, enrolled("other#1", Purpose::Dsse)).unwrap();
    assert_eq!(push(&mut state, published(2, 4)), outdated);
    push(&mut state, published(2, 5)).unwrap();
    push(&mut state, compromised("other#1", 5)).unwrap();
    assert_eq!(push(&mut state, published(3, 6)), outdated);
    // What happens to another tenant's keys is not in it.
    push(&mut state, enrolled("elsewhere/x#1", Purpose::Dsse)).unwrap();
    push(&mut state, published(3, 7)).unwrap();
    assert_eq!(state.next_trust_serial(&"elsewhere".parse().unwrap()), 1);
    push(&mut state, changed("release#1", KeyEvent::Suspend)).unwrap();
    assert!(matches!(
        push(&mut state, published(4, 10)),
        Err(StateError::NotSigning { .. })
    ));
}

fn revoked(key: &str, decided_index: u64) -> Event {
    Event::KeyRevocation(Box::new(KeyRevocation {
        key: key.parse().unwrap(),
        decided_index,
        signed_by: "release#1".parse().unwrap(),
        statement: "{}".to_owned(),
        by: by(),
    }))
}

#[test]
fn a_revocation_is_of_the_newest_finding_and_by_a_key_that_signs() {
    let mut state = active(Purpose::Dsse);
    push(&mut state, enrolled("other#1", Purpose::Dsse)).unwrap();
    let of_other = |index| revoked("other#1", index);
    assert!(matches!(
        push(&mut state, of_other(4)),
        Err(StateError::NotCompromised(_))
    ));
    push(&mut state, compromised("other#1", 5)).unwrap();
    push(&mut state, of_other(4)).unwrap();
    push(&mut state, compromised("other#1", 4)).unwrap();
    assert!(matches!(
        push(&mut state, of_other(4)),
        Err(StateError::RevocationOutdated(_))
    ));
    push(&mut state, of_other(6)).unwrap();
    push(&mut state, compromised("release#1", 2)).unwrap();
    for (key, index) in [("other#1", 6), ("release#1", 8)] {
        assert!(matches!(
            push(&mut state, revoked(key, index)),
            Err(StateError::NotSigning { .. })
        ));
    }
}

fn crl(number: u64, as_of: u64) -> Event {
    Event::CrlIssued(CrlIssued {
        issuer: "release#1".parse().unwrap(),
        number,
        as_of,
        entries: 1,
        next_update: Timestamp::from_unix_millis(99),
        tbs_sha256: Sha256Digest::default(),
        by: by(),
    })
}

#[test]
fn a_revocation_list_has_the_next_number_and_everything_in_it() {
    let mut state = active(Purpose::X509);
    let ca = "release".parse().unwrap();
    // A log that took another's place does not know its numbers, so they are no lower than the seconds since 1970.
    let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1000);
    assert_eq!(state.next_crl_number(&ca, at(0)), 1);
    assert_eq!(state.next_crl_number(&ca, at(70)), 70);
    push(&mut state, crl(70, 3)).unwrap();
    assert_eq!(state.next_crl_number(&ca, at(70)), 71);
    push(&mut state, enrolled("other#1", Purpose::Dsse)).unwrap();
    push(&mut state, compromised("other#1", 5)).unwrap();
    let outdated = Err(StateError::CrlOutdated(ca.clone()));
    for event in [crl(1, 6), crl(70, 6), crl(71, 5), crl(71, 7)] {
        assert_eq!(push(&mut state, event), outdated);
    }
    push(&mut state, crl(71, 6)).unwrap();
    push(&mut state, changed("release#1", KeyEvent::Suspend)).unwrap();
    assert!(matches!(
        push(&mut state, crl(72, 8)),
        Err(StateError::NotSigning { .. })
    ));
}

#[test]
fn every_record_survives_its_json() {
    for event in [published(1, 2), revoked("release#1", 2), crl(1, 2)] {
        let record = Record {
            v: SCHEMA_VERSION,
            seq: 3,
            time: Timestamp::from_unix_millis(5),
            event,
        };
        let json = serde_json::to_string(&record).unwrap();
        let kind = format!("\"kind\":\"{}\"", record.event.kind());
        assert!(json.contains(&kind), "{json}");
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }
}
