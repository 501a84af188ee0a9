//! Documents that hold, that come back as they went, and that contradict themselves.

use p256::pkcs8::EncodePublicKey as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const VKEY: &str = "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

/// A version whose key follows from `seed`.
fn version(number: u32, seed: u8) -> Version {
    let pair = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let der = pair.verifying_key().to_public_key_der().unwrap();
    let spki = Spki::from_der(der.into_vec());
    Version {
        version: number,
        state: KeyState::Active,
        purpose: Purpose::Dsse,
        scheme: Scheme::EcdsaP256Sha256,
        keyid: spki.keyid(),
        spki,
        active_from: Some(at(1)),
        active_until: None,
        compromise: None,
        succession: None,
    }
}

fn name(label: &str) -> KeyName {
    label.parse().unwrap()
}

fn former() -> Log {
    let vkey = VerifierKey::new(
        "wa.example.net/old",
        crate::tlog::vkey::KeyType::Ed25519,
        VKEY.parse::<VerifierKey>().unwrap().public_key(),
    );
    Log {
        origin: "wa.example.net/old".to_owned(),
        vkey: vkey.unwrap().to_string(),
    }
}

fn two() -> Document {
    let old = Version {
        state: KeyState::Deactivated,
        active_until: Some(at(5)),
        compromise: Some(Compromised {
            effective_time: at(3),
            decided_index: 7,
            log: None,
        }),
        ..version(1, 1)
    };
    let new = Version {
        succession: Some(json!({"payload": "", "payloadType": "", "signatures": []})),
        ..version(2, 2)
    };
    let release = name("release");
    let versions = [(release.clone(), new), (release, old)];
    Document::new(at(9), VKEY, vec![former()], versions).unwrap()
}

/// The document of [`two`], changed.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Document, DocumentError> {
    let mut value = serde_json::to_value(two()).unwrap();
    change(&mut value);
    Document::parse(&serde_json::to_vec(&value).unwrap())
}

fn contradiction(change: impl FnOnce(&mut Value)) -> Contradiction {
    match changed(|document| change(&mut document["keys"][0]["versions"])) {
        Err(DocumentError::Version { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_document_comes_back_as_it_went_with_its_versions_in_order() {
    let document = two();
    let read = Document::parse(document.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(read, document);
    let numbers: Vec<_> = read
        .versions(Purpose::Dsse)
        .map(|(id, _)| id.version)
        .collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(read.log().origin, "wa.example.net/wlog");
    assert_eq!(read.versions(Purpose::Token).count(), 0);
}

#[test]
fn a_compromised_version_is_kept_from_those_who_cannot_judge() {
    let document = two();
    let ids: Vec<_> = document
        .unharmed(Purpose::Dsse)
        .map(|(id, _)| id.to_string())
        .collect();
    assert_eq!(ids, ["default/release#2"]);
}

#[test]
fn a_member_that_the_format_does_not_have_is_refused_wherever_it_stands() {
    for place in [
        "",
        "/log",
        "/keys/0",
        "/keys/0/versions/0",
        "/keys/0/versions/0/compromise",
    ] {
        let refused = changed(|document| {
            document.pointer_mut(place).unwrap()["only_on_sundays"] = json!(true);
        });
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("only_on_sundays"), "{place}: {error}");
    }
}

#[test]
fn another_format_is_named_before_anything_else_is_read() {
    let future = changed(|document| {
        document["format"] = json!("https://sealwright.dev/trust/v2");
        document["more"] = json!(1);
    });
    assert!(matches!(future, Err(DocumentError::Format(format)) if format.ends_with("v2")));
    assert!(matches!(
        Document::parse(b"{\"keys\": []}"),
        Err(DocumentError::Format(_))
    ));
    assert!(matches!(
        Document::parse(b"[]"),
        Err(DocumentError::Json(_))
    ));
}

#[test]
fn a_document_has_a_longest_length() {
    let mut text = two().to_json().unwrap().into_bytes();
    text.resize(DOCUMENT_MAX, b' ');
    Document::parse(&text).unwrap();
    text.push(b' ');
    assert!(matches!(
        Document::parse(&text),
        Err(DocumentError::TooLong(_))
    ));
}

#[test]
fn the_logs_origin_is_the_name_of_its_key() {
    let other = changed(|document| document["log"]["origin"] = json!("other"));
    assert!(matches!(other, Err(DocumentError::Origin { .. })));
    let none = changed(|document| document["log"]["vkey"] = json!("none"));
    assert!(matches!(none, Err(DocumentError::Vkey(_))));
}

#[test]
fn a_key_stands_there_once() {
    let twice = changed(|document| {
        let key = document["keys"][0].clone();
        document["keys"].as_array_mut().unwrap().push(key);
    });
    assert!(matches!(twice, Err(DocumentError::SecondKey(_))));
}

#[test]
fn a_version_that_contradicts_itself_or_another_is_named() {
    use Contradiction as C;
    assert!(matches!(
        contradiction(|v| v[1]["version"] = json!(1)),
        C::Order
    ));
    assert!(matches!(
        contradiction(|v| v[0]["version"] = json!(0)),
        C::Order
    ));
    assert!(matches!(
        contradiction(|v| v[0]["keyid"] = json!("x")),
        C::KeyId
    ));
    assert!(matches!(
        contradiction(|v| v[0]["scheme"] = json!("ed25519")),
        C::PublicKey(_)
    ));
    let same = contradiction(|v| {
        v[1]["spki"] = v[0]["spki"].clone();
        v[1]["keyid"] = v[0]["keyid"].clone();
    });
    assert!(matches!(same, C::SameKey));
    assert!(matches!(
        contradiction(|v| v[1]["active_from"] = Value::Null),
        C::Window(_)
    ));
    assert!(matches!(
        contradiction(|v| v[0]["active_until"] = Value::Null),
        C::Window(_)
    ));
    let signing = contradiction(|v| v[1]["compromise"] = v[0]["compromise"].clone());
    assert!(matches!(signing, C::Compromised(KeyState::Active)));
    assert!(matches!(
        contradiction(|v| v[1]["succession"] = json!({})),
        C::Succession(_)
    ));
}

#[test]
fn each_log_stands_there_once_and_under_the_name_of_its_key() {
    let logs: Vec<_> = two().logs().map(|log| log.origin.clone()).collect();
    assert_eq!(logs, ["wa.example.net/wlog", "wa.example.net/old"]);
    let twice = changed(|document| document["former_logs"][0] = document["log"].clone());
    assert!(
        matches!(twice, Err(DocumentError::SecondLog(_))),
        "{twice:?}"
    );
    let other = changed(|document| document["former_logs"][0]["origin"] = "another".into());
    assert!(
        matches!(other, Err(DocumentError::Origin { .. })),
        "{other:?}"
    );
}

fn any_version(number: u32, seed: u8) -> impl Strategy<Value = Version> {
    use KeyState::{Active, Deactivated, Destroyed, PreActive, Suspended};
    let states = prop::sample::select(vec![PreActive, Active, Suspended, Deactivated, Destroyed]);
    let compromise = prop::option::of((any::<u32>(), any::<u64>()));
    (states, compromise, any::<u32>(), any::<u32>()).prop_map(
        move |(state, compromise, from, until)| {
            let time = |millis: u32| at(i64::from(millis));
            let ended = matches!(state, Deactivated | Destroyed);
            let may_be_compromised = !matches!(state, Active | Suspended);
            Version {
                state,
                active_from: (state != PreActive).then(|| time(from)),
                active_until: ended.then(|| time(until)),
                compromise: compromise.filter(|_| may_be_compromised).map(
                    |(millis, decided_index)| Compromised {
                        effective_time: time(millis),
                        decided_index,
                        log: None,
                    },
                ),
                ..version(number, seed)
            }
        },
    )
}

proptest! {
    #[test]
    fn every_document_comes_back_as_it_went(a in any_version(1, 1), b in any_version(4, 2), c in any_version(1, 3)) {
        let keys = [(name("a"), a), (name("a"), b), (name("other/c"), c)];
        let document = Document::new(at(9), VKEY, Vec::new(), keys).unwrap();
        let text = document.to_json().unwrap();
        prop_assert_eq!(Document::parse(text.as_bytes()).unwrap(), document);
    }

    #[test]
    fn a_damaged_document_is_refused_or_still_consistent(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = two().to_json().unwrap().into_bytes();
        *position.get_mut(&mut text) = byte;
        if let Ok(read) = Document::parse(&text) {
            prop_assert_eq!(Document::parse(read.to_json().unwrap().as_bytes()).unwrap(), read);
        }
    }
}
