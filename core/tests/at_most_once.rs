//! A name that is signed once stands for one set of digests, whatever becomes of the requests for it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::identity::PeerCred;
use sealwright_core::journal::Gone;
use sealwright_core::name::{KeyName, Tenant};
use sealwright_core::record::{
    DaemonStarted, Event, Genesis, LogKey, Outcome, Record, Rest, SCHEMA_VERSION, SignIntended,
    SignRecord, UsedKey,
};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::state::{State, StateError};
use sealwright_core::statement::Subject;
use sealwright_core::time::Timestamp;

const PEER: PeerCred = PeerCred {
    uid: 1,
    gid: 1,
    pid: 1,
};

fn key(label: &str) -> KeyName {
    format!("default/{label}").parse().unwrap()
}

fn subject(name: &str, digest: &str) -> Subject {
    Subject {
        digests: BTreeMap::from([("sha256".to_owned(), digest.to_owned())]),
        name: Some(name.to_owned()),
    }
}

/// A fold with what was told to it, and another one that sees no body that may go.
struct Log(State, State);

impl Log {
    fn new() -> Self {
        let mut this = Self(State::default(), State::default());
        let log_key = LogKey {
            token: "hsm".to_owned(),
            uri: "pkcs11:object=log".parse().unwrap(),
            spki: Spki::from_der(vec![0]),
            scheme: Scheme::Ed25519,
        };
        let genesis = Genesis {
            origin: "test/log".to_owned(),
            log_key,
            operators: Vec::new(),
            approvers: Vec::new(),
            approvals_required: 0,
            predecessor: None,
            policy_digest: Sha256Digest::default(),
        };
        this.push(Event::Genesis(genesis)).unwrap();
        this
    }

    /// The record's index, or why there is none.
    fn push(&mut self, event: Event) -> Result<u64, StateError> {
        let seq = self.0.next_index();
        let record = Record {
            v: SCHEMA_VERSION,
            seq,
            time: Timestamp::default(),
            event,
        };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        let before = self.0.clone();
        let result = self.0.apply(&record);
        assert!(
            result.is_ok() || self.0 == before,
            "a refusal changed something"
        );
        if result.is_ok() {
            match Rest::of_archived(&record.event) {
                Some(rest) => self
                    .1
                    .apply_redacted(seq, record.time, Gone::Archived, &rest),
                None => self.1.apply(&record),
            }
            .unwrap();
        }
        assert_eq!(self.0, self.1, "bodies decided something");
        result.map(|()| seq)
    }

    fn intend(&mut self, keys: &[&str], subjects: &[Subject]) -> Result<u64, StateError> {
        self.push(Event::SignIntended(Box::new(intended(keys, subjects))))
    }

    fn end(
        &mut self,
        intent: u64,
        outcome: Outcome,
        subjects: &[Subject],
    ) -> Result<u64, StateError> {
        let mut sign = signed("release", subjects);
        sign.outcome = outcome;
        sign.intent = Some(intent);
        self.push(Event::Sign(Box::new(sign)))
    }

    fn restart(&mut self) -> u64 {
        let open_intents = self.0.open_intents().collect();
        let started = DaemonStarted {
            run_id: "r".to_owned(),
            boottime_ms: 1,
            boot_id: None,
            wall: None,
            version: "v".to_owned(),
            open_intents,
        };
        self.push(Event::DaemonStarted(started)).unwrap()
    }

    fn holder(&self, name: &str) -> Option<(u64, bool)> {
        let reserved = self.0.reserved(&key("release"), name);
        reserved.map(|reserved| (reserved.index, reserved.is_released))
    }
}

fn intended(keys: &[&str], subjects: &[Subject]) -> SignIntended {
    SignIntended {
        request_id: "id".to_owned(),
        tenant: Tenant::default(),
        principal: "spiffe://test/ci".to_owned(),
        peer: PEER,
        keys: keys.iter().map(|label| key(label).version(1)).collect(),
        pae_sha256: Sha256Digest::default(),
        subjects: subjects.to_vec(),
        amends: None,
        policy_digest: Sha256Digest::default(),
        config_digest: Sha256Digest::default(),
    }
}

fn signed(label: &str, subjects: &[Subject]) -> SignRecord {
    SignRecord {
        outcome: Outcome::Signed,
        code: None,
        reason: None,
        request_id: "id".to_owned(),
        tenant: Tenant::default(),
        principal: "spiffe://test/ci".to_owned(),
        peer: PEER,
        key: Some(key(label)),
        key_version: Some(1),
        spki_sha256: None,
        evidence_sha256: None,
        scheme: None,
        further_keys: Vec::new(),
        payload_type: None,
        predicate_type: None,
        payload_sha256: None,
        pae_sha256: None,
        envelope_sha256: None,
        signature_sha256: Vec::new(),
        subjects: subjects.to_vec(),
        subject_count: None,
        subjects_sha256: None,
        idempotency_sha256: None,
        approval: None,
        token: None,
        retry_of: None,
        once: true,
        intent: None,
        amends: None,
        receipt: None,
        policy_digest: Sha256Digest::default(),
        config_digest: Sha256Digest::default(),
    }
}

fn refused(result: Result<u64, StateError>, index: u64) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyReleased);
    let text = error.to_string();
    assert!(text.contains(&format!("see record {index};")), "{text}");
}

#[test]
fn a_released_name_keeps_its_digests_and_may_be_signed_again_with_them() {
    let mut log = Log::new();
    let (a, b) = ([subject("app-1.0", "aa")], [subject("app-1.0", "bb")]);
    let intent = log.intend(&["release"], &a).unwrap();
    let first = log.end(intent, Outcome::Signed, &a).unwrap();
    assert_eq!(log.holder("app-1.0"), Some((first, true)));
    refused(log.intend(&["release"], &b), first);
    let again = log.intend(&["release"], &a).unwrap();
    log.end(again, Outcome::Signed, &a).unwrap();
    assert_eq!(
        log.holder("app-1.0"),
        Some((first, true)),
        "the first one is named"
    );
    log.intend(&["release"], &[subject("app-1.1", "bb")])
        .unwrap();
}

#[test]
fn the_whole_set_of_digests_counts() {
    let mut log = Log::new();
    let a = subject("app", "aa");
    let intent = log.intend(&["release"], std::slice::from_ref(&a)).unwrap();
    let first = log
        .end(intent, Outcome::Signed, std::slice::from_ref(&a))
        .unwrap();
    let mut more = a;
    more.digests.insert("sha512".to_owned(), "cc".to_owned());
    refused(log.intend(&["release"], &[more]), first);
}

#[test]
fn every_subject_of_every_key_is_reserved_and_each_key_by_itself() {
    let mut log = Log::new();
    let both = [subject("a", "aa"), subject("b", "bb")];
    let intent = log.intend(&["release", "second"], &both).unwrap();
    let mut sign = signed("release", &both);
    sign.intent = Some(intent);
    sign.further_keys.push(UsedKey {
        key: key("second"),
        key_version: 1,
        spki_sha256: Sha256Digest::default(),
        evidence_sha256: None,
        scheme: Scheme::Ed25519,
    });
    let index = log.push(Event::Sign(Box::new(sign))).unwrap();
    for label in ["release", "second"] {
        assert_eq!(log.0.reserved_count(&key(label)), 2);
        refused(log.intend(&[label], &[subject("b", "cc")]), index);
    }
    refused(
        log.intend(&["third", "second"], &[subject("b", "cc")]),
        index,
    );
    log.intend(&["third"], &[subject("b", "cc")]).unwrap();
}

#[test]
fn an_intent_reserves_and_an_end_without_a_signature_frees() {
    for outcome in [Outcome::Failed, Outcome::Denied, Outcome::Discarded] {
        let mut log = Log::new();
        let (a, b) = ([subject("app", "aa")], [subject("app", "bb")]);
        let intent = log.intend(&["release"], &a).unwrap();
        refused(log.intend(&["release"], &b), intent);
        log.end(intent, outcome, &a).unwrap();
        assert_eq!(log.holder("app"), None, "{outcome:?}");
        assert_eq!(log.0.open_intents().count(), 0);
        log.intend(&["release"], &b).unwrap();
    }
}

#[test]
fn what_may_be_a_signature_in_a_devices_memory_keeps_its_name() {
    let mut log = Log::new();
    let (a, b) = ([subject("app", "aa")], [subject("app", "bb")]);
    let intent = log.intend(&["release"], &a).unwrap();
    log.end(intent, Outcome::OutcomeUnknown, &a).unwrap();
    refused(log.intend(&["release"], &b), intent);
    let again = log.intend(&["release"], &a).unwrap();
    let index = log.end(again, Outcome::Signed, &a).unwrap();
    assert_eq!(log.holder("app"), Some((index, true)));
}

#[test]
fn a_restart_names_open_intents_once_and_their_names_stay_reserved() {
    let mut log = Log::new();
    let (a, b) = ([subject("app", "aa")], [subject("app", "bb")]);
    let intent = log.intend(&["release"], &a).unwrap();
    assert_eq!(log.0.open_intents().collect::<Vec<_>>(), [intent]);
    log.restart();
    assert_eq!(log.0.open_intents().count(), 0);
    refused(log.intend(&["release"], &b), intent);
    let again = log.intend(&["release"], &a).unwrap();
    log.end(again, Outcome::Failed, &a).unwrap();
    refused(log.intend(&["release"], &b), intent);
}

#[test]
fn of_two_requests_for_the_same_digests_the_failed_one_frees_nothing_that_the_other_released() {
    let mut log = Log::new();
    let (a, b) = ([subject("app", "aa")], [subject("app", "bb")]);
    let first = log.intend(&["release"], &a).unwrap();
    let second = log.intend(&["release"], &a).unwrap();
    let released = log.end(second, Outcome::Signed, &a).unwrap();
    log.end(first, Outcome::Failed, &a).unwrap();
    refused(log.intend(&["release"], &b), released);
}

#[test]
fn a_release_whose_name_was_freed_and_taken_meanwhile_is_a_conflict() {
    let mut log = Log::new();
    let (a, b) = ([subject("app", "aa")], [subject("app", "bb")]);
    let first = log.intend(&["release"], &a).unwrap();
    let second = log.intend(&["release"], &a).unwrap();
    log.end(first, Outcome::Failed, &a).unwrap();
    let other = log.intend(&["release"], &b).unwrap();
    assert!(log.0.check_once(&signed("release", &a)).is_err());
    refused(log.end(second, Outcome::Signed, &a), other);
}

#[test]
fn an_amended_name_stands_for_its_new_digests_once_they_are_released() {
    let mut log = Log::new();
    let (a, b) = ([subject("app", "aa")], [subject("app", "bb")]);
    let intent = log.intend(&["release"], &a).unwrap();
    let old = log.end(intent, Outcome::Signed, &a).unwrap();
    let mut amending = intended(&["release"], &b);
    amending.amends = Some(7);
    let intent = log.push(Event::SignIntended(Box::new(amending))).unwrap();
    assert_eq!(log.holder("app"), Some((old, true)), "not by the intent");
    let mut sign = signed("release", &b);
    (sign.intent, sign.amends) = (Some(intent), Some(7));
    let new = log.push(Event::Sign(Box::new(sign))).unwrap();
    refused(log.intend(&["release"], &a), new);
    log.intend(&["release"], &b).unwrap();
}

#[test]
fn a_request_without_the_demand_reserves_nothing_and_minds_nothing() {
    let mut log = Log::new();
    let a = [subject("app", "aa")];
    let intent = log.intend(&["release"], &a).unwrap();
    log.end(intent, Outcome::Signed, &a).unwrap();
    for name in ["app", "other"] {
        let mut plain = signed("release", &[subject(name, "bb")]);
        plain.once = false;
        log.push(Event::Sign(Box::new(plain))).unwrap();
    }
    assert_eq!(log.0.reserved_count(&key("release")), 1);
}
