//! `sealwright verify`: what is accepted, and that each defect is refused with its own words and exit code 1.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_core::statement::PAYLOAD_TYPE;
use support::signing::{Key, Log, TIME, envelope, record, statement};
use support::{Folder, Run, run};

/// A folder with two public keys, an artifact, and what key 1 signed about it.
struct Site {
    folder: Folder,
    keys: [Key; 2],
    log: Log,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            folder: Folder::new(),
            keys: [Key::new(1), Key::new(2)],
            log: Log::new(3),
        };
        for (name, key) in ["one.pem", "two.pem"].iter().zip(&site.keys) {
            site.folder.write(name, key.spki().to_pem());
        }
        site.folder.write("app", "artifact");
        site.folder
            .write("out.json", site.keys[0].bundle(&statement(b"artifact")));
        site.folder
            .write("log.vkey", format!("{}\n", site.log.vkey));
        site
    }

    fn multi(&self) -> Vec<u8> {
        envelope(
            &[&self.keys[0], &self.keys[1]],
            PAYLOAD_TYPE,
            &statement(b"artifact"),
        )
    }

    /// Runs `verify FILE …`; words that name a file of the folder become its path.
    fn verify(&self, words: &str) -> Run {
        let word = |word: &str| {
            let path = self.folder.join(word);
            if std::path::Path::new(&path).exists() {
                path
            } else {
                word.to_owned()
            }
        };
        run(std::iter::once("verify".to_owned()).chain(words.split(' ').map(word)))
    }
}

#[test]
fn a_bundle_verifies_under_its_key_and_for_its_artifact() {
    let site = Site::new();
    let run = site
        .verify("--json out.json --key one.pem --artifact app")
        .expect(0);
    let answer = run.json();
    assert_eq!(answer["format"], "bundle v0.3");
    assert_eq!(
        answer["signers"][0],
        site.keys[0].spki().sha256().to_string()
    );
    assert_eq!(
        (&answer["subjects"], &answer["predicate_type"]),
        (&1.into(), &"https://example.com/test/v1".into())
    );
    site.verify("out.json --key one.pem").expect(0);
}

#[test]
fn another_key_another_artifact_and_changed_bytes_are_refused() {
    let site = Site::new();
    let wrong_key = site.verify("out.json --key two.pem").expect(1);
    assert!(wrong_key.stderr.contains("out.json"), "{wrong_key:?}");
    site.folder.write("other", "another artifact");
    let wrong_artifact = site
        .verify("out.json --key one.pem --artifact other")
        .expect(1);
    assert!(
        wrong_artifact.stderr.contains("other"),
        "{wrong_artifact:?}"
    );
    let changed = site.keys[0].bundle(&statement(b"artifact"));
    let changed = String::from_utf8(changed)
        .unwrap()
        .replace("\"sig\":\"ME", "\"sig\":\"MF");
    site.folder.write("changed.json", changed);
    site.verify("changed.json --key one.pem").expect(1);
    site.folder.write("cut.json", "{\"mediaType\":");
    site.verify("cut.json --key one.pem").expect(1);
}

#[test]
fn a_threshold_counts_different_keys_and_zero_is_refused() {
    let site = Site::new();
    site.folder.write("multi.json", site.multi());
    site.verify("multi.json --key one.pem --key two.pem")
        .expect(0);
    site.verify("multi.json --key one.pem --threshold 1")
        .expect(0);
    site.verify("multi.json --key one.pem --key one.pem --threshold 2")
        .expect(1);
    site.verify("multi.json --key one.pem --threshold 0")
        .expect(1);
    let one = envelope(&[&site.keys[0]], PAYLOAD_TYPE, &statement(b"artifact"));
    site.folder.write("single.json", one);
    site.verify("single.json --key one.pem --key two.pem")
        .expect(1);
    site.verify("single.json --key one.pem --key two.pem --threshold 1")
        .expect(0);
}

#[test]
fn payload_type_and_predicate_type_are_those_that_were_asked_for() {
    let site = Site::new();
    site.folder.write(
        "raw.json",
        envelope(&[&site.keys[0]], "text/plain", b"hello"),
    );
    site.verify("raw.json --key one.pem").expect(1);
    site.verify("raw.json --key one.pem --payload-type text/plain")
        .expect(0);
    site.verify("raw.json --key one.pem --payload-type text/plain --artifact app")
        .expect(1);
    site.verify("out.json --key one.pem --type https://example.com/test/v1")
        .expect(0);
    site.verify("out.json --key one.pem --type cyclonedx")
        .expect(1);
}

#[test]
fn only_a_verified_payload_is_written() {
    let site = Site::new();
    let target = site.folder.join("payload");
    site.verify(&format!("out.json --key two.pem --payload-out {target}"))
        .expect(1);
    assert!(!std::path::Path::new(&target).exists());
    site.verify(&format!("out.json --key one.pem --payload-out {target}"))
        .expect(0);
    assert_eq!(std::fs::read(&target).unwrap(), statement(b"artifact"));
}

#[test]
fn a_missing_or_unusable_file_is_a_usage_error_that_names_it() {
    let site = Site::new();
    for words in [
        "nowhere.json --key one.pem",
        "out.json --key nowhere.json",
        "out.json --key app",
    ] {
        let run = site.verify(words).expect(2);
        assert!(
            run.stderr.contains("nowhere.json") || run.stderr.contains("app"),
            "{run:?}"
        );
    }
    site.verify("out.json").expect(2);
}

#[test]
fn a_log_proof_binds_the_record_to_the_envelope_also_inside_a_bundle() {
    let site = Site::new();
    let inside = envelope(&[&site.keys[0]], PAYLOAD_TYPE, &statement(b"artifact"));
    site.folder.write(
        "proof",
        site.log
            .proof(record(1, "signed", &inside).as_bytes(), "sign", TIME),
    );
    let run = site
        .verify("--json out.json --key one.pem --proof proof --log-key log.vkey")
        .expect(0);
    let recorded = &run.json()["recorded"];
    assert_eq!(
        (&recorded["index"], &recorded["tree_size"]),
        (&1.into(), &3.into())
    );
    assert_eq!(recorded["principal"], "spiffe://site/ci");
    let vkey = site.log.vkey.to_string();
    site.verify(&format!(
        "out.json --key one.pem --proof proof --log-key {vkey}"
    ))
    .expect(0);
    site.folder
        .write("log.policy", format!("log {vkey}\nquorum none\n"));
    site.verify("out.json --key one.pem --proof proof --policy log.policy")
        .expect(0);
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let site = Site::new();
    let inside = envelope(&[&site.keys[0]], PAYLOAD_TYPE, &statement(b"artifact"));
    let good = record(1, "signed", &inside);
    let cases = [
        (
            "another envelope",
            site.log
                .proof(record(1, "signed", b"other").as_bytes(), "sign", TIME),
        ),
        (
            "index",
            site.log
                .proof(record(2, "signed", &inside).as_bytes(), "sign", TIME),
        ),
        (
            "not about a signature",
            site.log
                .proof(record(1, "denied", &inside).as_bytes(), "sign", TIME),
        ),
        (
            "another kind in the leaf",
            site.log.proof(good.as_bytes(), "genesis", TIME),
        ),
        (
            "another time in the leaf",
            site.log
                .proof(good.as_bytes(), "sign", "2020-01-01T00:00:00Z"),
        ),
        ("no record", site.log.proof(b"", "sign", TIME)),
        ("not JSON", site.log.proof(b"{", "sign", TIME)),
        (
            "another log",
            Log::new(4).proof(good.as_bytes(), "sign", TIME),
        ),
    ];
    for (what, proof) in cases {
        site.folder.write("proof", proof);
        let run = site.verify("out.json --key one.pem --proof proof --log-key log.vkey");
        assert_eq!(run.code, 1, "{what}: {run:?}");
    }
    site.folder
        .write("proof", site.log.proof(good.as_bytes(), "sign", TIME));
    site.verify("out.json --key one.pem --proof proof --log-key log.vkey")
        .expect(0);
    site.verify("out.json --key one.pem --proof proof")
        .expect(2);
    site.verify("out.json --key one.pem --log-key log.vkey")
        .expect(2);
}
