//! How a log begins that takes another one's place: what comes over, in which order, and what is refused.
#![allow(clippy::unwrap_used)]

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::encode_envelope;
use sealwright_core::identity::PeerCred;
use sealwright_core::key::{Enrolment, EvidenceGrade, KeyEvent, KeyState, Purpose};
use sealwright_core::name::KeyVersionId;
use sealwright_core::record::{
    Actor, BECAUSE_MAX, Event, FreezeChanged, Genesis, Hold, KeyChanged, KeyCompromised,
    KeyEnrolled, KeyInherited, KeyRotated, LogKey, LogRecovered, Predecessor, PredecessorError,
    Record, SCHEMA_VERSION, TokenMark, Warrant,
};
use sealwright_core::scheme::Scheme;
use sealwright_core::shard::{Founding, Shard, ShardError};
use sealwright_core::spki::Spki;
use sealwright_core::state::{State, StateError};
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Checkpoint, Note, VerifierKey};

const OLD: &str = "test/old";
const NEW: &str = "test/new";
const ROOT: [u8; 32] = [9; 32];

fn old_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn vkey(origin: &str) -> VerifierKey {
    let public = old_key().verifying_key();
    VerifierKey::new(origin, KeyType::Ed25519, public.as_bytes()).unwrap()
}

/// A checkpoint of `origin`, signed under the name `OLD`.
fn note(origin: &str, size: u64, root: [u8; 32]) -> String {
    let text = Checkpoint::new(origin, size, root).unwrap().to_string();
    let signature = old_key().sign(text.as_bytes()).to_bytes().to_vec();
    let vkey = vkey(OLD);
    let line = NoteSignature::new(OLD, vkey.id(), signature).unwrap();
    Note::new(text, vec![line]).unwrap().to_string()
}

fn predecessor(size: u64) -> Predecessor {
    Predecessor {
        origin: OLD.to_owned(),
        vkey: vkey(OLD).to_string(),
        size,
        root: Sha256Digest(ROOT),
        time: Timestamp::from_unix_millis(100),
        checkpoint: Some(note(OLD, size, ROOT)),
        witnessed: None,
        because: None,
        inherited: 0,
        suspect_tokens: Vec::new(),
        earlier: Vec::new(),
    }
}

fn enrolment(key: &str) -> Enrolment {
    let key: KeyVersionId = key.parse().unwrap();
    Enrolment {
        spki: Spki::from_der(key.to_string().into_bytes()),
        key,
        token: "hsm".to_owned(),
        uri: "pkcs11:object=release".parse().unwrap(),
        scheme: Scheme::EcdsaP256Sha256,
        purpose: Purpose::Dsse,
        payload_types: vec!["text/plain".to_owned()],
        evidence: EvidenceGrade::Claimed,
        certificate: None,
        certificate_chain: Vec::new(),
        attestation: None,
    }
}

fn by() -> Actor {
    let peer = PeerCred {
        uid: 1,
        gid: 1,
        pid: 1,
    };
    Actor {
        principal: "spiffe://test/op".to_owned(),
        peer,
    }
}

fn genesis(origin: &str, predecessor: Option<Predecessor>) -> Genesis {
    Genesis {
        origin: origin.to_owned(),
        log_key: LogKey {
            token: "hsm".to_owned(),
            uri: "pkcs11:object=log".parse().unwrap(),
            spki: Spki::from_der(vec![0]),
            scheme: Scheme::Ed25519,
        },
        operators: Vec::new(),
        approvers: Vec::new(),
        approvals_required: 0,
        policy_digest: Sha256Digest([7; 32]),
        predecessor: predecessor.map(Box::new),
    }
}

fn push(state: &mut State, event: Event) -> Result<(), StateError> {
    let seq = state.next_index();
    state.apply(&Record {
        v: SCHEMA_VERSION,
        seq,
        time: Timestamp::from_unix_millis(1000 + seq.cast_signed()),
        event,
    })
}

fn changed(key: &str, event: KeyEvent) -> Event {
    Event::KeyChanged(KeyChanged {
        key: key.parse().unwrap(),
        event,
        reason: String::new(),
        by: by(),
        warrant: Warrant::default(),
    })
}

fn enrolled(key: &str) -> Event {
    Event::KeyEnrolled(KeyEnrolled {
        enrolment: enrolment(key),
        by: by(),
    })
}

fn succession() -> String {
    let bytes = encode_envelope("text/plain", b"", &[("a", b"b")]);
    String::from_utf8(bytes).unwrap()
}

fn frozen(scope: &str) -> Event {
    Event::FreezeSet(FreezeChanged {
        scope: scope.to_owned().try_into().unwrap(),
        reason: "incident 43".to_owned(),
        by: by(),
        warrant: Warrant::default(),
    })
}

fn hold(name: &str) -> Hold {
    Hold {
        tenant: "default".parse().unwrap(),
        name: name.to_owned(),
        reason: "court order".to_owned(),
        by: by(),
    }
}

/// release#1 compromised, #2 in use after it, #3 waiting; `other#1` suspended; a suspect token; a freeze and a hold that
/// were lifted and one of each in force.
fn old_log() -> State {
    let mut state = State::default();
    push(&mut state, Event::Genesis(genesis(OLD, None))).unwrap();
    let suspect = TokenMark {
        token: "usb".to_owned(),
        reason: "lied".to_owned(),
    };
    let Event::FreezeSet(lifted) = frozen("tenant:other") else {
        panic!("no freeze")
    };
    for event in [
        enrolled("release#1"),
        changed("release#1", KeyEvent::Activate),
        enrolled("release#2"),
        Event::KeyRotated(Box::new(KeyRotated {
            from: "release#1".parse().unwrap(),
            to: "release#2".parse().unwrap(),
            succession: succession(),
            reason: String::new(),
            by: by(),
            warrant: Warrant::default(),
        })),
        enrolled("release#3"),
        enrolled("other#1"),
        changed("other#1", KeyEvent::Activate),
        changed("other#1", KeyEvent::Suspend),
        Event::KeyCompromised(KeyCompromised {
            key: "release#1".parse().unwrap(),
            effective_time: Timestamp::from_unix_millis(1003),
            reason: "lost".to_owned(),
            by: by(),
            warrant: Warrant::default(),
        }),
        Event::TokenSuspect(suspect),
        frozen("tenant:other"),
        Event::FreezeLifted(lifted),
        frozen("all"),
        Event::HoldPlaced(hold("case 6")),
        Event::HoldPlaced(hold("case 7")),
        Event::HoldLifted(hold("case 6")),
    ] {
        push(&mut state, event).unwrap();
    }
    state
}

fn shard() -> Shard {
    let old = old_log();
    Shard::new(predecessor(old.next_index()), &old).unwrap()
}

fn founding() -> Founding {
    let Shard {
        predecessor,
        inheritance,
        ..
    } = shard();
    Founding {
        genesis: genesis(NEW, Some(predecessor)),
        inheritance,
    }
}

/// The new log with its first records.
fn begun() -> State {
    let Founding {
        genesis,
        inheritance,
    } = founding();
    let mut state = State::default();
    push(&mut state, Event::Genesis(genesis)).unwrap();
    for event in inheritance.events() {
        push(&mut state, event).unwrap();
    }
    state
}

fn thaw(state: &mut State) {
    let Event::FreezeSet(lifted) = frozen("all") else {
        panic!("no freeze")
    };
    push(state, Event::FreezeLifted(lifted)).unwrap();
}

fn version<'s>(state: &'s State, key: &str) -> &'s sealwright_core::key::KeyVersion {
    state.version(&key.parse().unwrap()).unwrap()
}

#[test]
fn every_version_comes_over_with_its_life_and_what_was_active_is_suspended() {
    let (old, new) = (old_log(), begun());
    let states: Vec<_> = new
        .keys()
        .map(|(id, version)| (id.to_string(), version.state))
        .collect();
    let expected = [
        ("default/other#1", KeyState::Suspended),
        ("default/release#1", KeyState::Deactivated),
        ("default/release#2", KeyState::Suspended),
        ("default/release#3", KeyState::PreActive),
    ];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)));
    for (id, was) in old.keys() {
        let is = new.version(&id).unwrap();
        assert_eq!(is.enrolment, was.enrolment);
        assert_eq!(
            (is.enrolled_at, is.active_from, is.active_until),
            (was.enrolled_at, was.active_from, was.active_until)
        );
        assert_eq!(is.succession, was.succession);
    }
    assert!(new.suspect_tokens().contains("usb"));
    assert_eq!(new.policy_digest(), Some(Sha256Digest([7; 32])));
}

#[test]
fn nothing_is_released_before_an_operator_resumes_the_key() {
    let mut state = begun();
    let id: KeyVersionId = "release#2".parse().unwrap();
    for index in 0..=state.next_index() {
        assert!(state.check_release(&id, index).is_err());
    }
    let frozen = push(&mut state, changed("release#2", KeyEvent::Resume)).unwrap_err();
    assert!(matches!(frozen, StateError::Frozen { .. }), "{frozen}");
    thaw(&mut state);
    push(&mut state, changed("release#2", KeyEvent::Resume)).unwrap();
    let since = version(&state, "release#2").state_index;
    state.check_release(&id, since).unwrap();
}

#[test]
fn a_freeze_in_force_stays_in_force_and_one_that_was_lifted_stays_behind() {
    let mut state = begun();
    let in_force = |state: &State| {
        let in_force = state
            .freezes()
            .filter_map(|(scope, freeze)| Some((scope.clone(), freeze?.clone())));
        in_force.collect::<Vec<_>>()
    };
    let [(scope, freeze)] = &in_force(&state)[..] else {
        panic!("{:?}", in_force(&state))
    };
    let old = in_force(&old_log());
    assert_eq!((scope, freeze.since), (&old[0].0, old[0].1.since));
    assert_eq!((freeze.index, freeze.reason.as_str()), (5, "incident 43"));
    let error = push(&mut state, enrolled("new#1")).unwrap_err();
    assert!(
        matches!(error, StateError::Frozen { index: 5, .. }),
        "{error}"
    );
    thaw(&mut state);
    push(&mut state, enrolled("new#1")).unwrap();
}

#[test]
fn a_hold_in_force_stays_in_force_and_one_that_was_lifted_stays_behind() {
    let mut state = begun();
    let tenant = "default".parse().unwrap();
    let old = old_log();
    let (name, was) = old.holds(&tenant).next().unwrap();
    let holds: Vec<_> = state.holds(&tenant).collect();
    let [(held, is)] = holds[..] else {
        panic!("{holds:?}")
    };
    assert_eq!((held, name), ("case 7", "case 7"));
    assert_eq!((is.since, &is.reason), (was.since, &was.reason));
    assert_eq!((&*is.principal, is.record), ("spiffe://test/op", 6));
    assert!(state.check_erasable(&tenant).is_err());
    push(&mut state, Event::HoldLifted(hold("case 7"))).unwrap();
    state.check_erasable(&tenant).unwrap();
}

#[test]
fn a_hold_that_comes_over_twice_or_without_a_name_is_refused() {
    let refused = |change: &dyn Fn(&mut Founding)| {
        let mut founding = founding();
        change(&mut founding);
        let records = founding.inheritance.events().count() as u64;
        founding.genesis.predecessor.as_mut().unwrap().inherited = records;
        founding.check().unwrap_err().to_string()
    };
    let twice = refused(&|f| f.inheritance.holds.push(f.inheritance.holds[0].clone()));
    assert!(twice.contains("on hold \"case 7\" already"), "{twice}");
    let nameless = refused(&|f| f.inheritance.holds[0].name.clear());
    assert!(nameless.contains("a hold's name"), "{nameless}");
}

#[test]
fn a_compromise_names_the_log_that_recorded_it_and_binds_in_the_new_one() {
    let mut state = begun();
    let compromise = version(&state, "release#1").compromise.clone().unwrap();
    assert_eq!(compromise.log.as_deref(), Some(OLD));
    assert_eq!(compromise.record(), format!("record 9 of {OLD}"));
    let error = push(&mut state, changed("release#1", KeyEvent::Activate)).unwrap_err();
    assert!(matches!(error, StateError::Illegal(..)), "{error}");
    // A log after that one still names the first.
    let again = KeyInherited::of(version(&state, "release#1"), NEW);
    assert_eq!(again.compromise.unwrap().log.as_deref(), Some(OLD));
}

#[test]
fn nothing_else_is_recorded_before_all_versions_came_over() {
    let Founding {
        genesis,
        inheritance,
    } = founding();
    let mut state = State::default();
    push(&mut state, Event::Genesis(genesis)).unwrap();
    assert_eq!(state.to_inherit(), 6);
    let early = push(&mut state, enrolled("new#1")).unwrap_err();
    assert!(
        matches!(early, StateError::NotAllInherited { missing: 6, .. }),
        "{early}"
    );
    // But for what a crash left behind.
    let torn = LogRecovered {
        segment: 0,
        offset: 4096,
        bytes: 1,
    };
    push(&mut state, Event::LogRecovered(torn)).unwrap();
    for event in inheritance.events() {
        push(&mut state, event).unwrap();
    }
    assert_eq!((state.to_inherit(), state.inherited()), (0, 6));
    let late = push(&mut state, inheritance.events().next().unwrap()).unwrap_err();
    assert!(
        matches!(late, StateError::NotAnnounced { seq: 8 }),
        "{late}"
    );
    push(&mut state, changed("other#1", KeyEvent::Deactivate)).unwrap();
}

#[test]
fn a_first_log_inherits_nothing() {
    let mut state = State::default();
    push(&mut state, Event::Genesis(genesis(NEW, None))).unwrap();
    for event in founding().inheritance.events() {
        let error = push(&mut state, event).unwrap_err();
        assert!(
            matches!(error, StateError::NotAnnounced { seq: 1 }),
            "{error}"
        );
    }
}

#[test]
fn two_logs_never_share_an_origin() {
    let same = |origin: &str, predecessor: &Predecessor| {
        let error = predecessor.check(origin).unwrap_err();
        assert!(matches!(error, PredecessorError::SameOrigin(_)), "{error}");
        assert!(error.to_string().contains("split view"), "{error}");
    };
    same(OLD, &predecessor(5));
    let mut second = predecessor(5);
    second.earlier = vec![sealwright_core::record::FormerLog {
        origin: "test/first".to_owned(),
        vkey: vkey("test/first").to_string(),
    }];
    same("test/first", &second);
    let mut state = State::default();
    let error = push(
        &mut state,
        Event::Genesis(genesis(OLD, Some(predecessor(5)))),
    )
    .unwrap_err();
    assert!(matches!(error, StateError::Predecessor(_)), "{error}");
    assert_eq!(state, State::default());
}

#[test]
fn a_citation_that_does_not_hold_is_refused_by_its_own_words() {
    let refused = |change: &dyn Fn(&mut Predecessor)| {
        let mut predecessor = predecessor(5);
        predecessor.check(NEW).unwrap();
        change(&mut predecessor);
        predecessor.check(NEW).unwrap_err()
    };
    use PredecessorError as E;
    assert_eq!(refused(&|p| p.root = Sha256Digest([8; 32])), E::Root(5));
    assert!(matches!(
        refused(&|p| p.origin = "test/third".to_owned()),
        E::OtherKey { .. }
    ));
    assert!(matches!(refused(&|p| p.vkey.push('A')), E::Vkey(_)));
    assert_eq!(refused(&|p| p.size = 0), E::Empty);
    let broken = |p: &mut Predecessor| {
        p.checkpoint = p.checkpoint.take().map(|n| n.replace("\n5\n", "\n4\n"))
    };
    assert!(matches!(refused(&broken), E::Note(_)));
    assert!(matches!(
        refused(&|p| p.checkpoint = Some(note("test/third", 5, ROOT))),
        E::OtherCheckpoint { .. }
    ));
    assert!(matches!(
        refused(&|p| p.witnessed = Some("none".to_owned())),
        E::Note(_)
    ));
}

#[test]
fn less_than_was_signed_needs_a_reason() {
    let mut cut = predecessor(5);
    cut.checkpoint = Some(note(OLD, 6, [1; 32]));
    let error = cut.check(NEW).unwrap_err();
    assert!(
        error.to_string().contains("had 6 records, and 5")
            && error.to_string().contains("--because"),
        "{error}"
    );
    cut.because = Some("the disk ate it".to_owned());
    cut.check(NEW).unwrap();
    cut.because = Some(" ".to_owned());
    assert_eq!(cut.check(NEW), Err(PredecessorError::Because(0)));
    cut.because = Some("x".repeat(BECAUSE_MAX));
    cut.check(NEW).unwrap();
    cut.because = Some("x".repeat(BECAUSE_MAX + 1));
    assert_eq!(
        cut.check(NEW),
        Err(PredecessorError::Because(BECAUSE_MAX + 1))
    );
    let mut unsigned = predecessor(5);
    unsigned.checkpoint = None;
    let error = unsigned.check(NEW).unwrap_err();
    assert!(error.to_string().contains("no checkpoint"), "{error}");
    unsigned.because = Some("it never signed one".to_owned());
    unsigned.check(NEW).unwrap();
    // A checkpoint behind the end is no contradiction: what followed was not signed yet.
    let mut behind = predecessor(5);
    behind.checkpoint = Some(note(OLD, 4, [1; 32]));
    behind.check(NEW).unwrap();
}

#[test]
fn versions_that_cannot_come_over_are_refused_by_their_own_words() {
    let refused = |change: &dyn Fn(&mut Vec<KeyInherited>)| {
        let mut founding = founding();
        change(&mut founding.inheritance.keys);
        let records = founding.inheritance.events().count() as u64;
        founding.genesis.predecessor.as_mut().unwrap().inherited = records;
        founding.check().unwrap_err().to_string()
    };
    // In order: other#1, release#1, release#2, release#3.
    type Harm<'h> = (&'h str, &'h dyn Fn(&mut Vec<KeyInherited>));
    let cases: [Harm<'_>; 9] = [
        ("the next version of this key is 1", &|k| drop(k.remove(1))),
        ("enrolled already as", &|k| {
            k[1].enrolment.spki = k[0].enrolment.spki.clone();
        }),
        ("payload type", &|k| k[0].enrolment.payload_types.clear()),
        ("active_from and active_until", &|k| k[0].active_from = None),
        ("cannot be in use", &|k| {
            k[2].compromise = k[1].compromise.clone();
        }),
        ("in which log", &|k| {
            k[1].compromise.as_mut().unwrap().log = None;
        }),
        ("before its enrolment", &|k| {
            k[1].compromise.as_mut().unwrap().effective_time = Timestamp::from_unix_millis(1);
        }),
        ("no envelope", &|k| k[2].succession = Some("{}".to_owned())),
        ("two versions of default/release are Active", &|k| {
            (k[3].state, k[3].active_from) = (KeyState::Active, k[2].active_from);
        }),
    ];
    for (words, change) in cases {
        let said = refused(change);
        assert!(said.contains(words), "{words}: {said}");
    }
    let mut short = founding();
    short.inheritance.keys.pop();
    let error = short.check().unwrap_err();
    assert!(
        matches!(
            error,
            ShardError::Count {
                announced: 6,
                found: 5
            }
        ),
        "{error}"
    );
}

#[test]
fn a_shard_file_comes_back_as_it_went_and_another_file_is_named() {
    let shard = shard();
    let text = shard.to_json().unwrap();
    assert_eq!(Shard::parse(text.as_bytes(), NEW).unwrap(), shard);
    let error = Shard::parse(text.as_bytes(), OLD).unwrap_err();
    assert!(matches!(error, ShardError::Predecessor(_)), "{error}");
    let other = Shard::parse(b"{\"format\": \"x\"}", NEW).unwrap_err();
    assert!(matches!(other, ShardError::Format(_)), "{other}");
    let more = text.replacen("{", "{\"more\": 1,", 1);
    assert!(matches!(
        Shard::parse(more.as_bytes(), NEW),
        Err(ShardError::Json(_))
    ));
}

#[test]
fn a_genesis_without_predecessor_reads_and_writes_as_before() {
    let text = serde_json::to_string(&genesis(NEW, None)).unwrap();
    assert!(!text.contains("predecessor"), "{text}");
    let founding: Founding = serde_json::from_str(&text).unwrap();
    founding.check().unwrap();
    assert_eq!(serde_json::to_string(&founding).unwrap(), text);
}

proptest! {
    #[test]
    fn a_damaged_shard_file_is_refused_or_begins_a_log(position in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let mut text = shard().to_json().unwrap().into_bytes();
        *position.get_mut(&mut text) = byte;
        if let Ok(Shard { predecessor, inheritance, .. }) = Shard::parse(&text, NEW) {
            let mut state = State::default();
            push(&mut state, Event::Genesis(genesis(NEW, Some(predecessor)))).unwrap();
            for event in inheritance.events() {
                push(&mut state, event).unwrap();
            }
            prop_assert_eq!(state.to_inherit(), 0);
        }
    }
}
