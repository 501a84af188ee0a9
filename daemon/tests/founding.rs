//! The first records of a log that takes another one's place: all of them or none, whatever a crash cuts off.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::key::{Enrolment, EvidenceGrade, KeyState, Purpose};
use sealwright_core::record::{Event, Genesis, KeyInherited, Predecessor};
use sealwright_core::scheme::Scheme;
use sealwright_core::shard::{Founding, Inheritance};
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::VerifierKey;
use sealwright_core::tlog::vkey::KeyType;
use sealwrightd::audit::{Audit, OpenError, Settings, open};
use sealwrightd::failpoints::Failpoints;
use support::{FixedClock, genesis, started};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn key(number: u32) -> KeyInherited {
    let begun = Timestamp::from_unix_millis(1);
    KeyInherited {
        enrolment: Enrolment {
            key: format!("default/release#{number}").parse().unwrap(),
            token: "t".to_owned(),
            uri: "pkcs11:object=release".parse().unwrap(),
            spki: Spki::from_der(number.to_be_bytes().to_vec()),
            scheme: Scheme::EcdsaP256Sha256,
            purpose: Purpose::Dsse,
            payload_types: vec!["text/plain".to_owned()],
            evidence: EvidenceGrade::None,
            certificate: None,
            certificate_chain: Vec::new(),
            attestation: None,
        },
        state: KeyState::Suspended,
        enrolled_at: begun,
        active_from: Some(begun),
        active_until: None,
        compromise: None,
        succession: None,
        signatures: 0,
    }
}

/// A log that begins with three key versions of another one.
fn founding() -> Founding {
    let Event::Genesis(genesis) = genesis() else {
        panic!("no genesis")
    };
    let public = &genesis.log_key.spki.der()[12..];
    let vkey = VerifierKey::new("example.test/old", KeyType::Ed25519, public).unwrap();
    let predecessor = Predecessor {
        origin: "example.test/old".to_owned(),
        vkey: vkey.to_string(),
        size: 7,
        root: Sha256Digest::default(),
        time: Timestamp::from_unix_millis(1),
        checkpoint: None,
        witnessed: None,
        because: Some("it signed none".to_owned()),
        inherited: 3,
        suspect_tokens: Vec::new(),
        earlier: Vec::new(),
    };
    Founding {
        genesis: Genesis {
            predecessor: Some(Box::new(predecessor)),
            ..genesis
        },
        inheritance: Inheritance {
            keys: [1, 2, 3].map(key).to_vec(),
            names: Vec::new(),
            freezes: Vec::new(),
            holds: Vec::new(),
        },
    }
}

struct Host {
    folder: TempDir,
    runtime: Runtime,
}

impl Host {
    fn new(founding: &Founding) -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
            runtime: Runtime::new().unwrap(),
        };
        host.write(founding);
        host
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, founding: &Founding) {
        let json = serde_json::to_vec(founding).unwrap();
        fs::write(self.path().join("genesis.json"), json).unwrap();
    }

    fn has_file(&self) -> bool {
        self.path().join("genesis.json").exists()
    }

    fn open(&self) -> Result<Audit, OpenError> {
        let settings = Settings {
            state_dir: self.path().to_owned(),
            segment_bytes: SEGMENT_MIN,
            low_water_bytes: 0,
        };
        let (clock, failpoints) = (Arc::new(FixedClock), Arc::new(Failpoints::default()));
        self.runtime.block_on(open(&settings, clock, failpoints))
    }

    /// Writes the log's first records as a start does that is cut off then.
    fn cut_off_after(&self, founding: &Founding, keys: usize) {
        let folder = self.path().join("journal");
        fs::create_dir(&folder).unwrap();
        let inherited = founding.inheritance.events().take(keys);
        let genesis = Event::Genesis(founding.genesis.clone());
        support::segments::write(&folder, std::iter::once(genesis).chain(inherited));
    }

    /// Opens the log, which must have its keys and go on.
    fn begins(&self) {
        let audit = self.open().unwrap();
        let keys = audit.journal.with_state(|state| {
            assert_eq!((state.next_index(), state.to_inherit()), (4, 0));
            state.keys().map(|(id, _)| id.version).collect::<Vec<_>>()
        });
        assert_eq!(keys, [1, 2, 3]);
        assert!(!self.has_file());
        let event = started("run", 1);
        let recorded = self.runtime.block_on(audit.journal.record(event));
        assert_eq!(recorded.unwrap().index(), 4);
        audit.journal.close();
        audit.writer.join().unwrap();
    }
}

fn refused(host: &Host) -> String {
    let Err(error) = host.open() else {
        panic!("it opened")
    };
    error.to_string()
}

#[test]
fn genesis_and_every_version_are_the_first_records() {
    Host::new(&founding()).begins();
}

#[test]
fn a_start_that_was_cut_off_is_taken_up_where_it_was() {
    let founding = founding();
    for keys in 0..=2 {
        let host = Host::new(&founding);
        host.cut_off_after(&founding, keys);
        host.begins();
    }
}

#[test]
fn a_file_that_was_not_removed_in_time_says_nothing_new() {
    let founding = founding();
    let host = Host::new(&founding);
    host.begins();
    host.write(&founding);
    let audit = host.open().unwrap();
    assert_eq!(audit.journal.with_state(|state| state.next_index()), 5);
}

#[test]
fn without_the_file_a_log_that_lacks_versions_does_not_go_on() {
    let founding = founding();
    let host = Host::new(&founding);
    host.cut_off_after(&founding, 1);
    fs::remove_file(host.path().join("genesis.json")).unwrap();
    let said = refused(&host);
    assert!(
        said.contains("2 records in it are not in the log yet"),
        "{said}"
    );
    let mut other = founding.clone();
    other
        .genesis
        .operators
        .push("spiffe://test/mallory".to_owned());
    host.write(&other);
    let said = refused(&host);
    assert!(said.contains("of another log than the journal"), "{said}");
    host.write(&founding);
    host.begins();
}

#[test]
fn a_file_that_contradicts_itself_begins_nothing() {
    let good = founding();
    let broken = |change: &dyn Fn(&mut Founding)| {
        let mut founding = good.clone();
        change(&mut founding);
        let host = Host::new(&founding);
        let said = refused(&host);
        let journal = fs::read_dir(host.path().join("journal")).unwrap();
        assert_eq!(journal.count(), 0, "{said}");
        said
    };
    let said = broken(&|founding| founding.inheritance.keys.truncate(2));
    assert!(
        said.contains(
            "announces 3 records of key versions, names, freezes and holds, and 2 are in it"
        ),
        "{said}"
    );
    let said = broken(&|founding| founding.genesis.origin = "example.test/old".to_owned());
    assert!(said.contains("split view"), "{said}");
    let said = broken(&|founding| founding.genesis.predecessor = None);
    assert!(said.contains("announces 0 records"), "{said}");
}
