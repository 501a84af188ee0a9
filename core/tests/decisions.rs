//! What is decided about a request and about a key, as tables: who gets a permit, what a fold accepts, and
//! when a signature may still leave.
#![allow(clippy::unwrap_used)]

#[path = "support/fold.rs"]
mod support;

use std::time::Instant;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::key::{KeyEvent, KeyState, Purpose};
use sealwright_core::name::{KeyName, KeyVersionId, Tenant};
use sealwright_core::permit::{
    Action, Answer, Demands, Denial, Permit, RESERVED_PREDICATE_TYPES, Shown, SignFacts,
    SignIntent, admit, authorise,
};
use sealwright_core::record::{Event, Record, SCHEMA_VERSION, TokenMark};
use sealwright_core::scheme::Scheme;
use sealwright_core::state::{State, StateError};
use sealwright_core::time::Timestamp;
use support::{
    Fixed, PEER, STATEMENT, allow, changed, compromised, demanding, enrolled, enrolment, genesis,
    principal, push, rotated, state, state_of,
};

fn deny(errors: &[&str]) -> Fixed {
    let errors = errors.iter().map(ToString::to_string).collect();
    Fixed {
        answer: Answer::Deny {
            policies: Vec::new(),
            errors,
        },
        names: "",
    }
}

fn active(purpose: Purpose) -> State {
    state([
        enrolled("release#1", purpose),
        changed("release#1", KeyEvent::Activate),
    ])
}

fn ask(
    state: &State,
    policy: &Fixed,
    tenant: &str,
    facts: SignFacts<'_>,
) -> Result<Permit, Denial> {
    let (principal, key) = (principal(tenant), "release".parse::<KeyName>().unwrap());
    let intent = SignIntent {
        principal: &principal,
        peer: PEER,
        key: &key,
        facts,
        pae_sha256: Sha256Digest([9; 32]),
        token: Shown::Nothing,
        now: Timestamp::from_unix_millis(1),
        deadline: Instant::now(),
    };
    authorise(state, policy, &intent)
}

const FACTS: SignFacts<'static> = SignFacts {
    payload_type: STATEMENT,
    predicate_type: Some("https://slsa.dev/provenance/v1"),
    predicate_known: true,
    subjects: &[],
    payload_len: 10,
    receipt: None,
};

#[test]
fn a_permit_names_everything_that_was_decided() {
    let permit = ask(&active(Purpose::Dsse), &allow(), "default", FACTS).unwrap();
    assert_eq!(permit.key().to_string(), "default/release#1");
    assert_eq!(permit.tenant(), &Tenant::default());
    assert_eq!((permit.token(), permit.purpose()), ("hsm", Purpose::Dsse));
    assert_eq!(permit.scheme(), Scheme::EcdsaP256Sha256);
    assert_eq!(permit.message_sha256(), Sha256Digest([9; 32]));
    assert_eq!(permit.policy_digest(), Sha256Digest([7; 32]));
    assert_eq!(permit.principal(), "spiffe://test/ci");
    assert_eq!(permit.state_index(), 2);
}

#[test]
fn each_reason_not_to_sign_has_its_own_code() {
    let good = active(Purpose::Dsse);
    let code = |state: &State, policy: &Fixed, tenant: &str, facts: SignFacts<'_>| {
        ask(state, policy, tenant, facts).unwrap_err().code()
    };
    assert_eq!(
        code(&state([]), &allow(), "default", FACTS),
        Code::UnknownKey
    );
    assert_eq!(code(&good, &allow(), "other", FACTS), Code::Denied);
    assert_eq!(code(&good, &deny(&[]), "default", FACTS), Code::Denied);
    assert_eq!(
        code(&good, &deny(&["overflow"]), "default", FACTS),
        Code::Denied
    );
    assert_eq!(
        code(&active(Purpose::Approval), &allow(), "default", FACTS),
        Code::Denied
    );
    let pre_active = state([enrolled("release#1", Purpose::Dsse)]);
    assert_eq!(
        code(&pre_active, &allow(), "default", FACTS),
        Code::KeyNotActive
    );
    let other_type = SignFacts {
        payload_type: "text/plain",
        ..FACTS
    };
    assert_eq!(
        code(&good, &allow(), "default", other_type),
        Code::UnsupportedPayloadType
    );
    let upper = SignFacts {
        payload_type: "application/vnd.in-toto+JSON",
        ..FACTS
    };
    assert_eq!(
        code(&good, &allow(), "default", upper),
        Code::UnsupportedPayloadType
    );
    // Whatever a key was enrolled for.
    let trust = SignFacts {
        payload_type: sealwright_core::trust::PAYLOAD_TYPE,
        ..FACTS
    };
    let refused = ask(&good, &allow(), "default", trust).unwrap_err();
    assert!(matches!(refused, Denial::ReservedPayload(_)), "{refused}");
    assert_eq!(refused.code(), Code::UnsupportedPayloadType);
    let unknown = SignFacts {
        predicate_known: false,
        ..FACTS
    };
    assert_eq!(
        code(&good, &allow(), "default", unknown),
        Code::UnsupportedPredicateType
    );
}

#[test]
fn a_permit_to_sign_says_what_approvals_it_waits_for_and_nothing_else_is_allowed_meanwhile() {
    let demand = |approvals| Demands {
        approvals,
        once: true,
        ..Demands::default()
    };
    let state = active(Purpose::Dsse);
    let permit = ask(&state, &demanding(demand(2)), "default", FACTS).unwrap();
    assert_eq!(permit.demands(), demand(2));
    let denial = demanding(demand(2))
        .answer
        .granted(Shown::Nothing)
        .unwrap_err();
    assert_eq!(denial, Denial::ApprovalRequired(2));
    assert_eq!(denial.code(), Code::ApprovalRequired);
    let permit = ask(&state, &demanding(demand(0)), "default", FACTS).unwrap();
    assert_eq!(permit.demands(), demand(0));
}

#[test]
fn an_unknown_predicate_type_is_signed_where_policy_names_it() {
    let unknown = SignFacts {
        predicate_type: Some("https://a.test/p"),
        predicate_known: false,
        ..FACTS
    };
    let naming = Fixed {
        names: "https://a.test/p",
        ..allow()
    };
    assert!(ask(&active(Purpose::Dsse), &naming, "default", unknown).is_ok());
}

#[test]
fn no_client_has_a_statement_about_keys_signed_whatever_policy_says() {
    for reserved in RESERVED_PREDICATE_TYPES {
        let statement = SignFacts {
            predicate_type: Some(reserved),
            predicate_known: false,
            ..FACTS
        };
        let naming = Fixed {
            names: reserved,
            ..allow()
        };
        let denial = ask(&active(Purpose::Dsse), &naming, "default", statement).unwrap_err();
        assert_eq!(denial, Denial::Reserved(reserved));
        assert_eq!(denial.code(), Code::UnsupportedPredicateType);
    }
}

#[test]
fn admission_asks_for_key_and_policy_before_any_payload() {
    let (state, key) = (active(Purpose::Dsse), "release".parse().unwrap());
    let mine = principal("default");
    assert_eq!(admit(&state, &allow(), &mine, Action::Sign, &key), Ok(()));
    assert_eq!(
        admit(&state, &deny(&[]), &mine, Action::Sign, &key).unwrap_err(),
        Denial::NotAdmitted(Vec::new())
    );
    let reason = Denial::NotAdmitted(vec!["freeze".to_owned()]);
    assert!(reason.to_string().ends_with("forbidden by freeze"));
    assert_eq!(reason.code(), Code::Denied);
    let absent = "absent".parse().unwrap();
    assert_eq!(
        admit(&state, &allow(), &mine, Action::Sign, &absent)
            .unwrap_err()
            .code(),
        Code::UnknownKey
    );
}

#[test]
fn a_release_needs_the_very_state_its_permit_was_made_in() {
    let mut state = active(Purpose::Dsse);
    let key: KeyVersionId = "release#1".parse().unwrap();
    assert!(state.check_release(&key, 2).is_ok());
    push(&mut state, changed("release#1", KeyEvent::Suspend)).unwrap();
    assert!(state.check_release(&key, 2).is_err());
    push(&mut state, changed("release#1", KeyEvent::Resume)).unwrap();
    assert!(
        state.check_release(&key, 2).is_err(),
        "a permit from before the suspension stays void"
    );
    assert!(state.check_release(&key, 4).is_ok());
    assert!(
        state
            .check_release(&"absent#1".parse().unwrap(), 4)
            .is_err()
    );
}

#[test]
fn one_version_is_active_and_versions_count_up() {
    let mut state = active(Purpose::Dsse);
    let gap = push(&mut state, enrolled("release#3", Purpose::Dsse));
    assert_eq!(
        gap,
        Err(StateError::Version("release#3".parse().unwrap(), 2))
    );
    push(&mut state, enrolled("release#2", Purpose::Dsse)).unwrap();
    let second = push(&mut state, changed("release#2", KeyEvent::Activate));
    assert_eq!(
        second,
        Err(StateError::SecondActive("release".parse().unwrap()))
    );
    assert_eq!(
        state
            .signing_version(&"release".parse().unwrap())
            .unwrap()
            .0,
        1
    );
    push(&mut state, changed("release#1", KeyEvent::Deactivate)).unwrap();
    push(&mut state, changed("release#2", KeyEvent::Activate)).unwrap();
    assert_eq!(
        state
            .signing_version(&"release".parse().unwrap())
            .unwrap()
            .0,
        2
    );
}

#[test]
fn a_public_key_has_one_name_and_a_purpose_fits_its_payload_types() {
    let mut state = active(Purpose::Dsse);
    let mut twin = enrolment("twin#1", Purpose::Dsse);
    twin.spki = enrolment("release#1", Purpose::Dsse).spki;
    assert!(matches!(
        state.check_enrolment(&twin),
        Err(StateError::SameKey { .. })
    ));
    let mut untyped = enrolment("other#1", Purpose::Dsse);
    untyped.payload_types.clear();
    assert!(matches!(
        state.check_enrolment(&untyped),
        Err(StateError::PayloadTypes(_))
    ));
    push(&mut state, enrolled("approve#1", Purpose::Approval)).unwrap();
}

#[test]
fn a_refused_record_changes_nothing() {
    let mut state = active(Purpose::Dsse);
    let before = format!("{state:?}");
    let record = |seq, v, millis, event| Record {
        v,
        seq,
        time: Timestamp::from_unix_millis(millis),
        event,
    };
    let mark = || {
        Event::TokenSuspect(TokenMark {
            token: "t".to_owned(),
            reason: String::new(),
        })
    };
    let refused = [
        record(9, SCHEMA_VERSION, 1, mark()),
        record(3, SCHEMA_VERSION + 1, 1, mark()),
        record(3, SCHEMA_VERSION, 0, mark()),
        record(3, SCHEMA_VERSION, 1, genesis()),
        record(3, SCHEMA_VERSION, 1, changed("release#1", KeyEvent::Resume)),
        record(
            3,
            SCHEMA_VERSION,
            1,
            changed("release#2", KeyEvent::Suspend),
        ),
    ];
    for record in refused {
        assert!(state.apply(&record).is_err(), "{record:?}");
        assert_eq!(format!("{state:?}"), before);
    }
    assert_eq!(
        State::default().apply(&record(0, SCHEMA_VERSION, 1, mark())),
        Err(StateError::Genesis { seq: 0 })
    );
}

#[test]
fn a_token_mark_lasts_until_it_is_cleared() {
    let mark = || TokenMark {
        token: "hsm".to_owned(),
        reason: String::new(),
    };
    let mut state = state([Event::TokenSuspect(mark())]);
    assert!(state.suspect_tokens().contains("hsm"));
    push(&mut state, Event::TokenCleared(mark())).unwrap();
    assert!(state.suspect_tokens().is_empty());
}

#[test]
fn every_record_survives_its_json() {
    let events = [
        genesis(),
        enrolled("release#1", Purpose::Dsse),
        changed("release#1", KeyEvent::Suspend),
    ];
    for event in events {
        let record = Record {
            v: SCHEMA_VERSION,
            seq: 3,
            time: Timestamp::from_unix_millis(5),
            event,
        };
        let json = serde_json::to_string(&record).unwrap();
        assert!(
            json.contains(&format!("\"kind\":\"{}\"", record.event.kind())),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }
    assert_eq!(
        KeyState::Active,
        KeyState::PreActive.after(KeyEvent::Activate).unwrap()
    );
}

#[test]
fn a_rotation_moves_both_versions_in_one_step() {
    let mut state = active(Purpose::Dsse);
    push(&mut state, enrolled("release#2", Purpose::Dsse)).unwrap();
    push(&mut state, rotated("release#1", "release#2")).unwrap();
    assert_eq!(state_of(&state, "release#1"), KeyState::Deactivated);
    assert_eq!(state_of(&state, "release#2"), KeyState::Active);
    let (number, version) = state.signing_version(&"release".parse().unwrap()).unwrap();
    assert_eq!(number, 2);
    assert_eq!(version.succession.as_deref(), Some("{}"));
    let old = state.version(&"release#1".parse().unwrap()).unwrap();
    assert_eq!(old.active_until, version.active_from);
    assert!(
        state
            .check_release(&"release#1".parse().unwrap(), 2)
            .is_err()
    );
}

#[test]
fn a_rotation_that_is_not_one_changes_nothing() {
    let mut state = active(Purpose::Dsse);
    push(&mut state, enrolled("other#1", Purpose::Dsse)).unwrap();
    push(&mut state, enrolled("release#2", Purpose::Dpop)).unwrap();
    push(&mut state, enrolled("release#3", Purpose::Dsse)).unwrap();
    push(&mut state, enrolled("release#4", Purpose::Dsse)).unwrap();
    push(&mut state, compromised("release#4", 7)).unwrap();
    let before = state.next_index();
    for (from, to, why) in [
        ("release#1", "release#1", "cannot succeed"),
        ("release#1", "other#1", "cannot succeed"),
        ("release#1", "release#2", "another purpose"),
        ("release#1", "release#4", "compromised"),
        ("release#1", "release#9", "no key version"),
        ("release#3", "release#1", "PreActive cannot"),
    ] {
        let error = push(&mut state, rotated(from, to)).unwrap_err();
        assert!(error.to_string().contains(why), "{from} {to}: {error}");
        assert_eq!(state.next_index(), before);
        assert_eq!(state_of(&state, "release#1"), KeyState::Active);
    }
    push(&mut state, rotated("release#1", "release#3")).unwrap();
    assert!(push(&mut state, rotated("release#1", "release#3")).is_err());
}

#[test]
fn a_compromised_key_never_signs_again_whatever_state_it_was_in() {
    use KeyEvent::{Activate, Deactivate, Destroy, Resume, Suspend};
    let ways: [&[KeyEvent]; 5] = [
        &[],
        &[Activate],
        &[Activate, Suspend],
        &[Activate, Deactivate],
        &[Destroy],
    ];
    for way in ways {
        let mut state = State::default();
        push(&mut state, genesis()).unwrap();
        push(&mut state, enrolled("release#1", Purpose::Dsse)).unwrap();
        for event in way {
            push(&mut state, changed("release#1", *event)).unwrap();
        }
        let now = state.last_time().unix_millis();
        push(&mut state, compromised("release#1", now)).unwrap();
        for event in [Activate, Resume] {
            assert!(push(&mut state, changed("release#1", event)).is_err());
        }
        let id = "release#1".parse().unwrap();
        assert_ne!(state_of(&state, "release#1"), KeyState::Active, "{way:?}");
        for index in 0..=state.next_index() {
            assert!(state.check_release(&id, index).is_err(), "{way:?}");
        }
    }
}

#[test]
fn a_compromise_moves_only_to_earlier_and_lies_within_the_keys_life() {
    let mut state = active(Purpose::Dsse);
    let id: KeyVersionId = "release#1".parse().unwrap();
    let enrolled_at = state.version(&id).unwrap().enrolled_at.unix_millis();
    let future = push(
        &mut state,
        compromised("release#1", i64::from(i32::MAX) * 1000),
    );
    assert_eq!(future, Err(StateError::FutureCompromise(id.clone())));
    let early = push(&mut state, compromised("release#1", enrolled_at - 1)).unwrap_err();
    assert!(
        matches!(early, StateError::BeforeEnrolment { .. }),
        "{early}"
    );
    let unknown = push(&mut state, compromised("release#9", enrolled_at));
    assert!(matches!(unknown, Err(StateError::UnknownVersion(_))));
    let at = state.last_time().unix_millis();
    push(&mut state, compromised("release#1", at)).unwrap();
    let again = push(&mut state, compromised("release#1", at)).unwrap_err();
    assert!(
        matches!(again, StateError::AlreadyCompromised { .. }),
        "{again}"
    );
    push(&mut state, compromised("release#1", enrolled_at)).unwrap();
    let compromise = state.version(&id).unwrap().compromise.clone().unwrap();
    assert_eq!(compromise.effective_time.unix_millis(), enrolled_at);
}
