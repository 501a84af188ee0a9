//! Records and a policy for tests of the fold.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::identity::{PeerCred, Principal, Role};
use sealwright_core::key::{Enrolment, EvidenceGrade, KeyEvent, KeyState, Purpose};
use sealwright_core::name::KeyVersionId;
use sealwright_core::permit::{Action, Answer, Demands, PolicyEngine, Question, Resource};
use sealwright_core::record::{
    Actor, Event, FreezeChanged, FreezeScope, Genesis, KeyChanged, KeyCompromised,
    KeyDestroyIntent, KeyEnrolled, KeyRotated, LogKey, Record, RotationCancelled,
    RotationScheduled, SCHEMA_VERSION, SignRecord, Warrant,
};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::state::{State, StateError};
use sealwright_core::time::Timestamp;

pub const STATEMENT: &str = "application/vnd.in-toto+json";

/// Answers every question the same way.
pub struct Fixed {
    pub answer: Answer,
    pub names: &'static str,
}

impl PolicyEngine for Fixed {
    fn decide(&self, _: &Question<'_>) -> Answer {
        self.answer.clone()
    }

    fn could_allow(&self, _: &Principal, _: Action, _: &Resource<'_>) -> bool {
        matches!(self.answer, Answer::Allow { .. })
    }

    fn forbids_outright(&self, _: &Principal, _: Action, _: &Resource<'_>) -> Vec<String> {
        Vec::new()
    }

    fn names_predicate_type(&self, predicate_type: &str) -> bool {
        self.names == predicate_type
    }

    fn digest(&self) -> Sha256Digest {
        Sha256Digest([7; 32])
    }
}

pub fn allow() -> Fixed {
    demanding(Demands::default())
}

pub fn demanding(demands: Demands) -> Fixed {
    Fixed {
        answer: Answer::Allow {
            policies: vec!["p".to_owned()],
            demands,
        },
        names: "",
    }
}

pub const PEER: PeerCred = PeerCred {
    uid: 1,
    gid: 1,
    pid: 1,
};

pub fn principal(tenant: &str) -> Principal {
    let roles = vec![Role::Client];
    Principal {
        id: "spiffe://test/ci".to_owned(),
        tenant: tenant.parse().unwrap(),
        roles,
    }
}

pub fn by() -> Actor {
    Actor {
        principal: "spiffe://test/op".to_owned(),
        peer: PEER,
    }
}

pub fn enrolment(key: &str, purpose: Purpose) -> Enrolment {
    let key: KeyVersionId = key.parse().unwrap();
    let payload_types = match purpose {
        Purpose::Dsse => vec![STATEMENT.to_owned()],
        _ => Vec::new(),
    };
    Enrolment {
        // Distinct keys have distinct bytes.
        spki: Spki::from_der(key.to_string().into_bytes()),
        key,
        token: "hsm".to_owned(),
        uri: "pkcs11:object=release".parse().unwrap(),
        scheme: Scheme::EcdsaP256Sha256,
        purpose,
        payload_types,
        evidence: EvidenceGrade::Claimed,
        certificate: None,
        certificate_chain: Vec::new(),
        attestation: None,
    }
}

pub fn enrolled(key: &str, purpose: Purpose) -> Event {
    Event::KeyEnrolled(KeyEnrolled {
        enrolment: enrolment(key, purpose),
        by: by(),
    })
}

pub fn changed(key: &str, event: KeyEvent) -> Event {
    let key = key.parse().unwrap();
    Event::KeyChanged(KeyChanged {
        key,
        event,
        reason: String::new(),
        by: by(),
        warrant: Warrant::default(),
    })
}

pub fn destroy_intent(key: &str) -> Event {
    let enrolment = enrolment(key, Purpose::Dsse);
    Event::KeyDestroyIntent(KeyDestroyIntent {
        key: enrolment.key,
        token: enrolment.token,
        uri: enrolment.uri,
        spki_sha256: enrolment.spki.sha256(),
        reason: String::new(),
        by: by(),
        warrant: Warrant::default(),
    })
}

pub fn genesis() -> Event {
    let log_key = LogKey {
        token: "hsm".to_owned(),
        uri: "pkcs11:object=log".parse().unwrap(),
        spki: Spki::from_der(vec![0]),
        scheme: Scheme::Ed25519,
    };
    Event::Genesis(Genesis {
        origin: "test/log".to_owned(),
        log_key,
        operators: Vec::new(),
        approvers: Vec::new(),
        approvals_required: 0,
        policy_digest: Sha256Digest::default(),
        predecessor: None,
    })
}

pub fn push(state: &mut State, event: Event) -> Result<(), StateError> {
    let seq = state.next_index();
    state.apply(&Record {
        v: SCHEMA_VERSION,
        seq,
        time: Timestamp::from_unix_millis(seq.cast_signed() + 1),
        event,
    })
}

/// Genesis and the events, all accepted.
pub fn state(events: impl IntoIterator<Item = Event>) -> State {
    let mut state = State::default();
    for event in std::iter::once(genesis()).chain(events) {
        push(&mut state, event).unwrap();
    }
    state
}

pub fn rotated(from: &str, to: &str) -> Event {
    Event::KeyRotated(Box::new(KeyRotated {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        succession: "{}".to_owned(),
        reason: String::new(),
        by: by(),
        warrant: Warrant::default(),
    }))
}

pub fn compromised(key: &str, effective_time: i64) -> Event {
    Event::KeyCompromised(KeyCompromised {
        key: key.parse().unwrap(),
        effective_time: Timestamp::from_unix_millis(effective_time),
        reason: "found on a pastebin".to_owned(),
        by: by(),
        warrant: Warrant::default(),
    })
}

pub fn state_of(state: &State, key: &str) -> KeyState {
    state.version(&key.parse().unwrap()).unwrap().state
}

pub fn scheduled(from: &str, to: &str, at: i64) -> Event {
    Event::RotationScheduled(RotationScheduled {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        at: Timestamp::from_unix_millis(at),
        reason: String::new(),
        by: by(),
        warrant: Warrant::default(),
    })
}

pub fn cancelled(key: &str) -> Event {
    Event::RotationCancelled(RotationCancelled {
        key: key.parse().unwrap(),
        reason: String::new(),
        by: by(),
    })
}

fn freeze_of(scope: &FreezeScope) -> FreezeChanged {
    FreezeChanged {
        scope: scope.clone(),
        reason: "incident".to_owned(),
        by: by(),
        warrant: Warrant::default(),
    }
}

pub fn frozen(scope: &FreezeScope) -> Event {
    Event::FreezeSet(freeze_of(scope))
}

pub fn thawed(scope: &FreezeScope) -> Event {
    Event::FreezeLifted(freeze_of(scope))
}

/// A signature of `key` that was released, with nothing in its record that could be left out.
pub fn signed(key: &KeyVersionId) -> Event {
    let record = serde_json::json!({
        "outcome": "signed", "request_id": "", "tenant": key.key.tenant(), "principal": "spiffe://test/ci",
        "peer": PEER, "key": key.key, "key_version": key.version,
        "policy_digest": Sha256Digest::default(), "config_digest": Sha256Digest::default(),
    });
    let record: SignRecord = serde_json::from_value(record).unwrap();
    Event::Sign(Box::new(record))
}
