//! The journal's writer decides which of several releases of one name is the first.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use sealwright_core::error::Code;
use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::record::SignRecord;
use sealwrightd::audit::recovery::recover;
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::writer::{Journal, RecordError};
use sealwrightd::failpoints::Failpoints;
use serde_json::json;
use support::{FixedClock, MemoryDisk, genesis};

fn release_of(name: &str, digest: &str) -> SignRecord {
    let zeros = "0".repeat(64);
    serde_json::from_value(json!({
        "outcome": "signed", "request_id": "id", "tenant": "default", "principal": "spiffe://test/ci",
        "peer": {"uid": 1, "gid": 1, "pid": 1}, "key": "default/release", "once": true,
        "subjects": [{"name": name, "digest": {"sha256": digest}}],
        "policy_digest": zeros, "config_digest": zeros,
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_releases_of_one_name_the_first_is_let_go_and_the_others_are_discarded() {
    let disk = MemoryDisk::default();
    let (journal, thread) = start(&disk);
    let _ = journal.record(genesis()).await.unwrap();
    let ask = |n: usize| {
        let journal = journal.clone();
        let record = release_of("app-1.0", &format!("{n:02x}"));
        tokio::spawn(async move { journal.release(n, record, Vec::new()).await })
    };
    let asked: Vec<_> = (0..64).map(ask).collect();
    let (mut first, mut discarded) = (Vec::new(), Vec::new());
    for one in asked {
        match one.await.unwrap() {
            Ok(recorded) => first.push(recorded.index()),
            Err(RecordError::Discarded {
                code: Code::AlreadyReleased,
                reason,
                ..
            }) => discarded.push(reason),
            Err(error) => panic!("{error}"),
        }
    }
    let [first] = first.as_slice() else {
        panic!("{} were released", first.len())
    };
    assert_eq!(discarded.len(), 63);
    let names_the_first = |reason: &String| reason.contains(&format!("see record {first};"));
    assert!(discarded.iter().all(names_the_first), "{discarded:?}");
    journal.close();
    thread.join().unwrap();
    // What was thrown away replays as such, and the first one still holds the name.
    let state = recover(&disk, Path::new("/journal"), &mut |_, _| {})
        .unwrap()
        .state;
    let holder = state.reserved(&"default/release".parse().unwrap(), "app-1.0");
    assert_eq!(holder.map(|holder| holder.index), Some(*first));
}

fn start(disk: &MemoryDisk) -> (Journal, std::thread::JoinHandle<()>) {
    let found = recover(disk, Path::new("/journal"), &mut |_, _| {}).unwrap();
    let shared = Arc::new(disk.clone());
    let segments = Segments::open(shared, SEGMENT_MIN, Arc::new(Space::default()), &found).unwrap();
    let (clock, failpoints) = (Arc::new(FixedClock), Arc::new(Failpoints::default()));
    Journal::start(segments, found.state, clock, failpoints, Vec::new()).unwrap()
}
