//! Dual control as the fold decides it: every step that needs approvals, with every way in which they can be wrong.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType, SigningKey as _};
use sealwright_core::approval::{
    self, ApprovalError, ApprovalFile, BadApproval, CERTIFICATES_MAX, FIDO2_SCHEME, FILE_MAX,
    NONCE_LEN, Params, Predicate, Request, Requester, Verdict,
};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Pae, encode_envelope};
use sealwright_core::error::Code;
use sealwright_core::identity::PeerCred;
use sealwright_core::journal::Gone;
use sealwright_core::key::{Enrolment, EvidenceGrade, KeyEvent, Purpose};
use sealwright_core::name::Tenant;
use sealwright_core::record::{
    Actor, ApprovalGiven, ApprovalRequested, AuditErased, ClockAccepted, Event, FreezeChanged,
    FreezeScope, Genesis, KeyChanged, KeyCompromised, KeyDestroyIntent, KeyEnrolled,
    KeyGenerateIntent, KeyRotated, LogKey, PolicyActivated, Record, Rest, RotationScheduled,
    SCHEMA_VERSION, Selection, SignRecord, Warrant,
};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::state::approvals::{ENDED_MAX, OPEN_MAX, OPEN_OF_ONE_MAX, Status};
use sealwright_core::state::{State, StateError};
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use sealwright_core::webauthn::{Assertion, RP_ID};

const OP: &str = "spiffe://test/op";
const ANN: &str = "spiffe://test/ann";
const BEN: &str = "spiffe://test/ben";
const CAT: &str = "spiffe://test/cat";
/// When requests run out; records are a second apart.
const EXPIRY: i64 = 100_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn actor(principal: &str) -> Actor {
    let peer = PeerCred {
        uid: 1,
        gid: 1,
        pid: 1,
    };
    Actor {
        principal: principal.to_owned(),
        peer,
    }
}

/// Somebody with a certificate.
struct Person {
    id: &'static str,
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Person {
    fn new(id: &'static str) -> Self {
        Self::with_key(id, KeyPair::generate().unwrap())
    }

    fn with_key(id: &'static str, key: KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            id,
            key,
            certificate,
        }
    }

    fn predicate(&self, verdict: Verdict) -> Predicate {
        Predicate {
            verdict,
            approver: self.id.to_owned(),
            made_at: Timestamp::default(),
            expires: None,
            reason: None,
        }
    }

    fn sign(&self, payload_type: &str, payload: &[u8]) -> String {
        let pae = Pae {
            payload_type,
            payload,
        };
        let signature = self.key.sign(&pae.to_vec()).unwrap();
        let envelope = encode_envelope(payload_type, payload, &[("", &signature)]);
        String::from_utf8(envelope).unwrap()
    }

    /// As a FIDO2 key with the same private half would sign a statement.
    fn assert(&self, flags: u8, statement: &[u8]) -> String {
        let pae = Pae {
            payload_type: PAYLOAD_TYPE,
            payload: statement,
        };
        let party = Sha256Digest::of(&[RP_ID.as_bytes()]);
        let authenticator_data = [&party.0[..], &[flags, 0, 0, 0, 1]].concat();
        let hash = Sha256Digest::of(&[&pae.to_vec()]);
        let signed = [&authenticator_data[..], &hash.0].concat();
        let assertion = Assertion {
            signature: self.key.sign(&signed).unwrap(),
            authenticator_data,
        };
        let signature = assertion.to_bytes().unwrap();
        let envelope = encode_envelope(PAYLOAD_TYPE, statement, &[("", &signature)]);
        String::from_utf8(envelope).unwrap()
    }

    fn says(&self, request: Sha256Digest, predicate: &Predicate) -> String {
        let statement = approval::statement(request, predicate).unwrap();
        let envelope = self.sign(PAYLOAD_TYPE, &statement);
        approval::encode(&envelope, &[&self.certificate], None)
    }

    fn requester(&self) -> Requester {
        let der = self.key.subject_public_key_info();
        Requester {
            principal: self.id.to_owned(),
            spki_sha256: Sha256Digest::of(&[&der]),
        }
    }
}

/// A log with two of three, three versions of a key, and people.
struct Log {
    state: State,
    now: i64,
    op: Person,
    ann: Person,
    ben: Person,
    cat: Person,
}

impl Log {
    fn new() -> Self {
        let mut log = Self {
            state: State::default(),
            now: 0,
            op: Person::new(OP),
            ann: Person::new(ANN),
            ben: Person::new(BEN),
            cat: Person::new(CAT),
        };
        log.push(genesis()).unwrap();
        for version in ["release#1", "release#2", "release#3", "third#1"] {
            log.push(enrolled(version)).unwrap();
        }
        log.done_with_approvals(&activate("release#1"));
        for tenant in ["partner", "acme"] {
            let freeze = freeze_of(tenant, Warrant::default());
            log.push(Event::FreezeSet(freeze)).unwrap();
        }
        log
    }

    fn push(&mut self, event: Event) -> Result<u64, StateError> {
        let seq = self.state.next_index();
        let before = self.state.clone();
        let record = Record {
            v: SCHEMA_VERSION,
            seq,
            time: at(self.now),
            event,
        };
        // What is on disk has to be read again.
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        match self.state.apply(&record) {
            Ok(()) => Ok(seq),
            Err(error) => {
                assert_eq!(self.state, before, "a refused record changes nothing");
                Err(error)
            }
        }
    }

    fn ask(&mut self, params: Params) -> u64 {
        self.ask_as(self.op.requester(), params).unwrap()
    }

    fn ask_as(&mut self, requester: Requester, params: Params) -> Result<u64, StateError> {
        let by = actor(&requester.principal);
        let nonce = [u8::try_from(self.state.next_index() % 251).unwrap(); NONCE_LEN];
        let times = (at(self.now), at(self.now + EXPIRY));
        let request = Request::new(
            "test/log",
            nonce,
            Tenant::default(),
            requester,
            times,
            (2, params),
        );
        let request = request.to_text();
        let tenant = Tenant::default();
        let requested = ApprovalRequested {
            tenant,
            request,
            by,
        };
        self.push(Event::ApprovalRequested(requested))
    }

    fn digest(&self, index: u64) -> Sha256Digest {
        self.state.operation(index).unwrap().digest
    }

    fn bring(&mut self, index: u64, text: &str) -> Result<u64, ApprovalError> {
        let file = ApprovalFile::verify(text.as_bytes()).unwrap();
        let given = ApprovalGiven {
            tenant: Tenant::default(),
            request: index,
            approver: file.predicate.approver.clone(),
            approver_spki_sha256: file.spki_sha256,
            approval: text.to_owned(),
            by: actor(OP),
        };
        let event = match file.predicate.verdict {
            Verdict::Granted => Event::ApprovalGranted(given),
            Verdict::Denied => Event::ApprovalDenied(given),
        };
        self.push(event).map_err(|error| match error {
            StateError::Approval(error) => error,
            other => panic!("{other}"),
        })
    }

    fn says(
        &mut self,
        who: fn(&Self) -> &Person,
        index: u64,
        verdict: Verdict,
    ) -> Result<u64, ApprovalError> {
        let person = who(self);
        let text = person.says(self.digest(index), &person.predicate(verdict));
        self.bring(index, &text)
    }

    fn grant(&mut self, who: fn(&Self) -> &Person, index: u64) -> Result<u64, ApprovalError> {
        self.says(who, index, Verdict::Granted)
    }

    fn grant_both(&mut self, index: u64) {
        self.grant(|log| &log.ann, index).unwrap();
        self.grant(|log| &log.ben, index).unwrap();
    }

    fn done_with_approvals(&mut self, step: &Step) -> u64 {
        let index = self.ask(self.params(step));
        self.grant_both(index);
        self.push(step(Some(index), None)).unwrap();
        index
    }

    fn params(&self, step: &Step) -> Params {
        self.state.params_of(&step(Some(0), None)).unwrap().unwrap()
    }

    fn status(&self, index: u64) -> Status {
        self.state.operation(index).unwrap().status(at(self.now))
    }
}

/// An event that needs approvals, with those it claims.
type Step = Box<dyn Fn(Option<u64>, Option<&str>) -> Event>;

fn warrant(approval: Option<u64>, break_glass: Option<&str>) -> Warrant {
    Warrant {
        approval,
        break_glass: break_glass.map(str::to_owned),
    }
}

fn genesis() -> Event {
    let log_key = LogKey {
        token: "hsm".to_owned(),
        uri: "pkcs11:object=log".parse().unwrap(),
        spki: Spki::from_der(vec![0]),
        scheme: Scheme::Ed25519,
    };
    Event::Genesis(Genesis {
        origin: "test/log".to_owned(),
        log_key,
        operators: vec![OP.to_owned()],
        approvers: [OP, ANN, BEN].map(str::to_owned).to_vec(),
        approvals_required: 2,
        policy_digest: Sha256Digest::default(),
        predecessor: None,
    })
}

fn enrolled(key: &str) -> Event {
    Event::KeyEnrolled(KeyEnrolled {
        enrolment: Enrolment {
            key: key.parse().unwrap(),
            token: "hsm".to_owned(),
            uri: "pkcs11:object=release".parse().unwrap(),
            spki: Spki::from_der(key.as_bytes().to_vec()),
            scheme: Scheme::EcdsaP256Sha256,
            purpose: Purpose::Dsse,
            payload_types: vec![PAYLOAD_TYPE.to_owned()],
            evidence: EvidenceGrade::None,
            certificate: None,
            certificate_chain: Vec::new(),
            attestation: None,
        },
        by: actor(OP),
    })
}

fn changed(key: &'static str, event: KeyEvent) -> Step {
    Box::new(move |approval, break_glass| {
        Event::KeyChanged(KeyChanged {
            key: key.parse().unwrap(),
            event,
            reason: String::new(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    })
}

fn activate(key: &'static str) -> Step {
    changed(key, KeyEvent::Activate)
}

fn generate(label: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::KeyGenerateIntent(KeyGenerateIntent {
            key: "release#4".parse().unwrap(),
            token: "hsm".to_owned(),
            uri: format!("pkcs11:object={label}").parse().unwrap(),
            scheme: Scheme::RsaPkcs1Sha256,
            rsa_bits: Some(3072),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    })
}

fn rotate(to: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::KeyRotated(Box::new(KeyRotated {
            from: "release#1".parse().unwrap(),
            to: to.parse().unwrap(),
            succession: "{}".to_owned(),
            reason: String::new(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        }))
    })
}

fn schedule(to: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::RotationScheduled(RotationScheduled {
            from: "release#1".parse().unwrap(),
            to: to.parse().unwrap(),
            at: at(10 * EXPIRY),
            reason: String::new(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    })
}

fn compromise(reason: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::KeyCompromised(KeyCompromised {
            key: "release#1".parse().unwrap(),
            effective_time: Timestamp::default(),
            reason: reason.to_owned(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    })
}

fn policy(digest: u8) -> Step {
    Box::new(move |approval, break_glass| {
        Event::PolicyActivated(PolicyActivated {
            digest: Sha256Digest([digest; 32]),
            by: Some(actor(OP)),
            warrant: warrant(approval, break_glass),
        })
    })
}

fn freeze_of(tenant: &str, warrant: Warrant) -> FreezeChanged {
    FreezeChanged {
        scope: FreezeScope::Tenant(tenant.parse().unwrap()),
        reason: "drill".to_owned(),
        by: actor(OP),
        warrant,
    }
}

fn thaw(tenant: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::FreezeLifted(freeze_of(tenant, warrant(approval, break_glass)))
    })
}

fn accept_clock(reason: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::ClockAccepted(ClockAccepted {
            wall: at(0),
            boot: None,
            reason: reason.to_owned(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    })
}

fn erase(record: u64, reason: &'static str) -> Step {
    Box::new(move |approval, break_glass| {
        Event::AuditErased(AuditErased {
            tenant: Tenant::default(),
            before: at(0),
            segment: record,
            selection: Selection::from_iter([record]),
            count: 1,
            reason: reason.to_owned(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    })
}

#[test]
fn approvals_of_an_erasure_serve_for_each_of_its_segments_and_for_no_other() {
    let mut log = Log::new();
    let error = refused(log.push(erase(1, "asked for")(None, None)));
    assert_eq!(error.code(), Code::ApprovalRequired);
    let index = log.ask(log.params(&erase(1, "asked for")));
    let error = refused(log.push(erase(1, "asked for")(Some(index), None)));
    assert_eq!(error.code(), Code::ApprovalIncomplete);
    log.grant_both(index);
    for record in [1, 2] {
        log.push(erase(record, "asked for")(Some(index), None))
            .unwrap();
    }
    assert_eq!(log.status(index), Status::Used);
    let error = refused(log.push(erase(3, "no reason")(Some(index), None)));
    assert_eq!(error.code(), Code::ApprovalMismatch);
}

#[test]
fn the_outcome_of_a_destruction_needs_no_approvals_of_its_own_and_its_intent_does() {
    let mut log = Log::new();
    let version = log.state.version(&"release#3".parse().unwrap()).unwrap();
    let enrolment = version.enrolment.clone();
    let step: Step = Box::new(move |approval, break_glass| {
        Event::KeyDestroyIntent(KeyDestroyIntent {
            key: enrolment.key.clone(),
            token: enrolment.token.clone(),
            uri: enrolment.uri.clone(),
            spki_sha256: enrolment.spki.sha256(),
            reason: String::new(),
            by: actor(OP),
            warrant: warrant(approval, break_glass),
        })
    });
    assert_eq!(log.params(&step).action(), "destroy");
    let error = refused(log.push(step(None, None)));
    assert_eq!(error.code(), Code::ApprovalRequired);
    log.done_with_approvals(&step);
    log.push(changed("release#3", KeyEvent::Destroy)(None, None))
        .unwrap();
}

fn sign(payload: u8) -> Step {
    Box::new(move |approval, _| Event::Sign(Box::new(sign_record(payload, approval))))
}

fn sign_record(payload: u8, approval: Option<u64>) -> SignRecord {
    serde_json::from_value(serde_json::json!({
        "outcome": "signed", "request_id": "r", "tenant": "default", "principal": OP,
        "peer": {"uid": 1, "gid": 1, "pid": 1}, "key": "default/release", "key_version": 1,
        "spki_sha256": Sha256Digest([1; 32]), "payload_type": PAYLOAD_TYPE,
        "payload_sha256": Sha256Digest([payload; 32]), "pae_sha256": Sha256Digest([payload; 32]),
        "approval": approval, "policy_digest": Sha256Digest::default(),
        "config_digest": Sha256Digest::default(),
    }))
    .unwrap()
}

/// Each step that needs approvals, and the same step done to something else.
fn steps() -> BTreeMap<&'static str, (Step, Step)> {
    BTreeMap::from([
        ("generate", (generate("a"), generate("b"))),
        ("activate", (activate("third#1"), activate("release#2"))),
        ("rotate", (rotate("release#2"), rotate("release#3"))),
        (
            "schedule-rotation",
            (schedule("release#2"), schedule("release#3")),
        ),
        ("compromise", (compromise("lost"), compromise("found"))),
        (
            "destroy",
            (
                changed("release#2", KeyEvent::Destroy),
                changed("release#3", KeyEvent::Destroy),
            ),
        ),
        ("policy", (policy(7), policy(8))),
        ("thaw", (thaw("partner"), thaw("acme"))),
        (
            "accept-clock",
            (accept_clock("seen"), accept_clock("heard")),
        ),
        ("sign", (sign(7), sign(8))),
    ])
}

fn refused(result: Result<u64, StateError>) -> ApprovalError {
    match result {
        Err(StateError::Approval(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// For each step: what it is called, a log in which it is possible, the step, and another one like it.
fn each(check: impl Fn(&str, &mut Log, &Step, &Step)) {
    for (action, (step, other)) in steps() {
        let mut log = Log::new();
        assert_eq!(log.params(&step).action(), action);
        check(action, &mut log, &step, &other);
    }
}

#[test]
fn a_step_needs_its_approvals_and_uses_them_up() {
    each(|action, log, step, _| {
        if action != "sign" {
            let error = refused(log.push(step(None, None)));
            assert_eq!(error.code(), Code::ApprovalRequired, "{action}");
        }
        let error = refused(log.push(step(Some(0), None)));
        assert_eq!(error.code(), Code::UnknownOperation, "{action}");
        let index = log.ask(log.params(step));
        for (who, missing) in [(log_ann as fn(&Log) -> &Person, 2), (log_ben, 1)] {
            assert_eq!(log.status(index), Status::Waiting, "{action}");
            let error = refused(log.push(step(Some(index), None)));
            let got = 2 - missing;
            assert_eq!(
                error,
                ApprovalError::Incomplete {
                    index,
                    got,
                    needed: 2
                },
                "{action}"
            );
            log.grant(who, index).unwrap();
        }
        assert_eq!(log.status(index), Status::Ready, "{action}");
        let by = log.push(step(Some(index), None)).unwrap();
        assert_eq!(log.status(index), Status::Used, "{action}");
        let used = ApprovalError::Used { index, by };
        if let Ok(Some(_)) = log.state.params_of(&step(Some(index), None)) {
            assert_eq!(refused(log.push(step(Some(index), None))), used, "{action}");
        }
        let error = log.says(log_ann, index, Verdict::Denied).unwrap_err();
        assert_eq!(error, used, "{action}");
    });
}

fn log_ann(log: &Log) -> &Person {
    &log.ann
}

fn log_ben(log: &Log) -> &Person {
    &log.ben
}

#[test]
fn approvals_of_one_request_let_nothing_else_happen() {
    each(|action, log, step, other| {
        let index = log.ask(log.params(step));
        log.grant_both(index);
        let error = refused(log.push(other(Some(index), None)));
        assert_eq!(error.code(), Code::ApprovalMismatch, "{action}");
        for (another, (third, _)) in steps() {
            if another != action {
                let error = refused(log.push(third(Some(index), None)));
                assert_eq!(error.code(), Code::ApprovalMismatch, "{action} {another}");
            }
        }
        assert_eq!(log.status(index), Status::Ready, "{action}");
        let theirs = log.ask_as(log.cat.requester(), log.params(step)).unwrap();
        log.grant_both(theirs);
        let error = refused(log.push(step(Some(theirs), None)));
        let what = "who does it";
        assert_eq!(
            error,
            ApprovalError::Mismatch {
                index: theirs,
                what
            },
            "{action}"
        );
    });
}

#[test]
fn approvals_end_with_the_request_and_with_a_denial() {
    each(|action, log, step, _| {
        let index = log.ask(log.params(step));
        log.grant_both(index);
        let denied = log.ask(log.params(step));
        log.grant_both(denied);
        // Who said yes may think better of it.
        log.says(log_ann, denied, Verdict::Denied).unwrap();
        let error = refused(log.push(step(Some(denied), None)));
        assert_eq!(error.code(), Code::ApprovalDenied, "{action}");
        assert_eq!(log.status(denied), Status::Denied, "{action}");
        log.now += EXPIRY;
        let error = refused(log.push(step(Some(index), None)));
        assert_eq!(error.code(), Code::ApprovalExpired, "{action}");
        assert_eq!(log.status(index), Status::Expired, "{action}");
    });
}

#[test]
fn what_broke_the_glass_is_done_at_once_and_stays_owed_until_it_is_approved() {
    each(|action, log, step, _| {
        if action == "sign" {
            return;
        }
        let index = log.ask(log.params(step));
        log.push(step(Some(index), Some("the house is on fire")))
            .unwrap();
        assert_eq!(log.status(index), Status::Owed, "{action}");
        if let Ok(Some(_)) = log.state.params_of(&step(Some(index), None)) {
            for reason in [None, Some("again")] {
                let error = refused(log.push(step(Some(index), reason)));
                assert_eq!(error.code(), Code::ApprovalUsed, "{action}");
            }
        }
        log.now += 2 * EXPIRY;
        log.grant(log_ann, index).unwrap();
        assert_eq!(log.status(index), Status::Owed, "{action}");
        log.grant(log_ben, index).unwrap();
        assert_eq!(log.status(index), Status::Used, "{action}");
    });
}

#[test]
fn only_other_approvers_of_this_log_count_and_each_once_by_name_and_key() {
    let mut log = Log::new();
    let index = log.ask(log.params(&rotate("release#2")));
    let error = log.grant(|log| &log.op, index).unwrap_err();
    assert_eq!(error.code(), Code::ApproverIsRequester);
    let same_key =
        |id, key: &KeyPair| Person::with_key(id, KeyPair::from_pem(&key.serialize_pem()).unwrap());
    let by = |log: &mut Log, person: &Person| {
        let text = person.says(log.digest(index), &person.predicate(Verdict::Granted));
        log.bring(index, &text)
    };
    let ann_with_ops_key = same_key(ANN, &log.op.key);
    let error = by(&mut log, &ann_with_ops_key).unwrap_err();
    assert_eq!(error.code(), Code::ApproverIsRequester);
    let error = log.grant(|log| &log.cat, index).unwrap_err();
    assert_eq!(error.code(), Code::NotAnApprover);
    log.grant(log_ann, index).unwrap();
    let ben_with_anns_key = same_key(BEN, &log.ann.key);
    for person in [Person::new(ANN), ben_with_anns_key] {
        let error = by(&mut log, &person).unwrap_err();
        assert_eq!(error.code(), Code::ApprovalRepeated);
    }
    assert_eq!(log.state.operation(index).unwrap().missing(at(0)), 1);
}

#[test]
fn an_approval_is_for_one_request_and_may_run_out_before_it() {
    let mut log = Log::new();
    let params = log.params(&rotate("release#2"));
    let (first, second) = (log.ask(params.clone()), log.ask(params));
    let text = log
        .ann
        .says(log.digest(first), &log.ann.predicate(Verdict::Granted));
    let error = log.bring(second, &text).unwrap_err();
    assert_eq!(error.code(), Code::ApprovalMismatch);
    let short = Predicate {
        expires: Some(at(500)),
        ..log.ann.predicate(Verdict::Granted)
    };
    let text = log.ann.says(log.digest(first), &short);
    log.bring(first, &text).unwrap();
    log.grant(log_ben, first).unwrap();
    log.now = 499;
    assert_eq!(log.status(first), Status::Ready);
    log.now = 500;
    assert_eq!(log.status(first), Status::Waiting);
    let error = refused(log.push(rotate("release#2")(Some(first), None)));
    assert_eq!(error.code(), Code::ApprovalIncomplete);
    let text = log.ann.says(log.digest(second), &short);
    let error = log.bring(second, &text).unwrap_err();
    assert_eq!(
        error,
        ApprovalError::Stale {
            expires_at: at(500)
        }
    );
}

#[test]
fn a_rotation_that_was_put_off_is_approved_by_then_and_only_as_it_was_put_off() {
    let mut log = Log::new();
    log.done_with_approvals(&schedule("release#2"));
    let required = |result| refused(result).code() == Code::ApprovalRequired;
    assert!(
        required(log.push(rotate("release#2")(None, None))),
        "too early"
    );
    log.now = 10 * EXPIRY;
    assert!(required(log.push(rotate("release#3")(None, None))));
    log.push(rotate("release#2")(None, None)).unwrap();
}

#[test]
fn a_signature_asks_for_as_many_approvals_as_policy_does() {
    let mut log = Log::new();
    let check = |log: &Log, approval, needed| {
        let record = sign_record(7, approval);
        log.state.check_sign_approval(&record, needed, at(log.now))
    };
    assert_eq!(check(&log, None, 0), Ok(()));
    let error = check(&log, None, 1).unwrap_err();
    assert_eq!(error.code(), Code::ApprovalRequired);
    let index = log.ask(log.params(&sign(7)));
    log.grant_both(index);
    assert_eq!(check(&log, Some(index), 2), Ok(()));
    let error = check(&log, Some(index), 3).unwrap_err();
    assert_eq!(error.code(), Code::ApprovalMismatch);
}

#[test]
fn an_approval_stays_used_where_the_body_of_its_signature_is_gone() {
    let mut log = Log::new();
    let index = log.ask(log.params(&sign(7)));
    log.grant_both(index);
    let event = sign(7)(Some(index), None);
    let rest = Rest::of_archived(&event).unwrap();
    let before = log.state.clone();
    log.push(event).unwrap();
    for gone in [Gone::Archived, Gone::Erased { by: 99 }] {
        let mut without = before.clone();
        let (seq, time) = (before.next_index(), at(log.now));
        without.apply_redacted(seq, time, gone, &rest).unwrap();
        let used = without.operation(index).unwrap().used_by;
        assert_eq!(used, Some(seq), "{gone:?}");
        assert_eq!(without, log.state, "{gone:?}");
    }
}

#[test]
fn a_fido2_key_approves_by_an_assertion_for_which_its_pin_was_shown() {
    let ann = Person::new(ANN);
    let digest = Sha256Digest([1; 32]);
    let statement = approval::statement(digest, &ann.predicate(Verdict::Granted)).unwrap();
    let asserted = |flags: u8, scheme: Scheme| {
        let envelope = ann.assert(flags, &statement);
        approval::encode(&envelope, &[&ann.certificate], Some(scheme))
    };
    let verify = |text: &str| ApprovalFile::verify(text.as_bytes());
    let file = verify(&asserted(0x05, FIDO2_SCHEME)).unwrap();
    assert_eq!(file.request, digest);
    let touched = verify(&asserted(0x01, FIDO2_SCHEME)).unwrap_err();
    assert!(matches!(touched, BadApproval::Signature(_)), "{touched}");
    for scheme in [Scheme::WebAuthnP256Sha256, Scheme::EcdsaP256Sha256] {
        let refused = verify(&asserted(0x05, scheme)).unwrap_err();
        assert!(matches!(refused, BadApproval::Scheme(_)), "{refused}");
    }
    let unsaid = approval::encode(&ann.assert(0x05, &statement), &[&ann.certificate], None);
    let refused = verify(&unsaid).unwrap_err();
    assert!(matches!(refused, BadApproval::Signature(_)), "{refused}");
    let plain = ann.sign(PAYLOAD_TYPE, &statement);
    let plain = approval::encode(&plain, &[&ann.certificate], Some(FIDO2_SCHEME));
    let refused = verify(&plain).unwrap_err();
    assert!(matches!(refused, BadApproval::Signature(_)), "{refused}");
}

#[test]
fn a_file_that_is_not_what_it_says_is_no_approval() {
    let (ann, ben) = (Person::new(ANN), Person::new(BEN));
    let digest = Sha256Digest([1; 32]);
    let good = ann.says(digest, &ann.predicate(Verdict::Granted));
    let file = ApprovalFile::verify(good.as_bytes()).unwrap();
    assert_eq!(
        (file.request, file.predicate),
        (digest, ann.predicate(Verdict::Granted))
    );
    let bad = |text: &str| ApprovalFile::verify(text.as_bytes()).unwrap_err();
    let wrap =
        |envelope: &str, certificates: &[&Vec<u8>]| approval::encode(envelope, certificates, None);
    let statement = approval::statement(digest, &ann.predicate(Verdict::Granted)).unwrap();
    let envelope = ann.sign(PAYLOAD_TYPE, &statement);
    let error = bad(&wrap(&envelope, &[&ben.certificate]));
    assert!(matches!(error, BadApproval::Signature(_)), "{error}");
    let error = bad(&wrap(
        &ben.sign(PAYLOAD_TYPE, &statement),
        &[&ben.certificate],
    ));
    assert!(
        matches!(error, BadApproval::OtherApprover { .. }),
        "{error}"
    );
    assert!(matches!(
        bad(&wrap(&envelope, &[])),
        BadApproval::Certificates
    ));
    let many = vec![&ann.certificate; CERTIFICATES_MAX + 1];
    assert!(matches!(
        bad(&wrap(&envelope, &many)),
        BadApproval::Certificates
    ));
    let error = bad(&wrap(&envelope, &[&vec![0]]));
    assert!(matches!(error, BadApproval::Identity(_)), "{error}");
    let error = bad(&wrap(
        &ann.sign("text/plain", &statement),
        &[&ann.certificate],
    ));
    assert!(matches!(error, BadApproval::OtherPayload(_)), "{error}");
    let text = String::from_utf8(statement).unwrap();
    let other = text.replace(approval::PREDICATE_TYPE, "https://e/other");
    let error = bad(&wrap(
        &ann.sign(PAYLOAD_TYPE, other.as_bytes()),
        &[&ann.certificate],
    ));
    assert!(matches!(error, BadApproval::OtherPayload(_)), "{error}");
    let other = text
        .replace("\"sha256\"", "\"sha384\"")
        .replace(&digest.to_string(), &"ab".repeat(48));
    let error = bad(&wrap(
        &ann.sign(PAYLOAD_TYPE, other.as_bytes()),
        &[&ann.certificate],
    ));
    assert!(matches!(error, BadApproval::Subject), "{error}");
    assert!(matches!(
        bad(&good.replace("approval-v1", "approval-v9")),
        BadApproval::Type(_)
    ));
    assert!(matches!(
        bad(&good.replace("\"certificates\"", "\"c\"")),
        BadApproval::Json(_)
    ));
    assert!(matches!(
        bad(&" ".repeat(FILE_MAX + 1)),
        BadApproval::TooLong(_)
    ));
}

#[test]
fn every_kind_of_key_that_a_certificate_has_can_approve() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let person = Person::with_key(ANN, KeyPair::generate_for(algorithm).unwrap());
        let text = person.says(Sha256Digest([1; 32]), &person.predicate(Verdict::Denied));
        ApprovalFile::verify(text.as_bytes()).unwrap();
    }
}

#[test]
fn as_many_requests_as_the_limits_wait_and_the_ended_are_forgotten_oldest_first() {
    let mut log = Log::new();
    let params = log.params(&rotate("release#2"));
    let operator = log.op.requester();
    let number = |n: usize| Requester {
        principal: format!("{OP}-{n}"),
        ..operator.clone()
    };
    let first = log.ask_as(number(0), params.clone()).unwrap();
    for n in 1..OPEN_MAX {
        let asked = log.ask_as(number(n / OPEN_OF_ONE_MAX), params.clone());
        asked.unwrap();
        if n == OPEN_OF_ONE_MAX - 1 {
            let error = refused(log.ask_as(number(0), params.clone()));
            assert_eq!(error, ApprovalError::TooManyOfOne(OPEN_OF_ONE_MAX));
        }
    }
    let error = refused(log.ask_as(number(9), params.clone()));
    assert_eq!(error, ApprovalError::TooMany(OPEN_MAX));
    log.now += EXPIRY;
    let last = log.ask(params);
    // The activation that the log began with was the oldest.
    assert_eq!(log.state.operations().count(), ENDED_MAX);
    assert_eq!(
        log.state.operation(first - 1),
        Err(ApprovalError::Unknown(first - 1))
    );
    assert!(log.state.operation(last).is_ok());
}

#[derive(Debug, Clone)]
enum Move {
    Ask(usize),
    Grant(usize, bool),
    Deny(usize),
    Do(usize, usize),
    Break(usize, usize),
    Wait,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0..3usize).prop_map(Move::Ask),
        6 => (0..8usize, any::<bool>()).prop_map(|(at, who)| Move::Grant(at, who)),
        1 => (0..8usize).prop_map(Move::Deny),
        6 => (0..8usize, 0..3usize).prop_map(|(at, step)| Move::Do(at, step)),
        1 => (0..8usize, 0..3usize).prop_map(|(at, step)| Move::Break(at, step)),
        1 => Just(Move::Wait),
    ];
    proptest::collection::vec(one, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_approval_is_used_twice(moves in moves()) {
        let mut log = Log::new();
        // Steps that stay possible however often they are done.
        let steps = [generate("a"), generate("b"), sign(7)];
        let mut asked = Vec::new();
        let mut done: BTreeMap<u64, usize> = BTreeMap::new();
        for one in moves {
            let known = |at: usize| asked.get(at).copied().unwrap_or(u64::MAX);
            match one {
                Move::Ask(step) => asked.push(log.ask(log.params(&steps[step]))),
                Move::Grant(at, who) if at < asked.len() => {
                    let _ = log.grant(if who { log_ann } else { log_ben }, known(at));
                }
                Move::Deny(at) if at < asked.len() => {
                    let _ = log.says(log_ann, known(at), Verdict::Denied);
                }
                Move::Do(at, step) => {
                    let index = known(at);
                    let was = log.state.operation(index).map(|one| one.status(at_now(&log)));
                    if log.push(steps[step](Some(index), None)).is_ok() {
                        prop_assert_eq!(was, Ok(Status::Ready));
                        *done.entry(index).or_default() += 1;
                    }
                }
                Move::Break(at, step)
                    if step < 2 && log.push(steps[step](Some(known(at)), Some("fire"))).is_ok() =>
                {
                    *done.entry(known(at)).or_default() += 1;
                }
                Move::Wait => log.now += EXPIRY / 3,
                _ => {}
            }
        }
        prop_assert!(done.values().all(|times| *times == 1), "{:?}", done);
        let text = serde_json::to_string(&log.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), log.state);
    }

    #[test]
    fn no_bytes_that_stand_for_an_approval_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(ApprovalFile::verify(&bytes).is_err());
    }
}

fn at_now(log: &Log) -> Timestamp {
    at(log.now)
}
