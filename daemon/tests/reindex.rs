//! An index built from the journal equals the one that followed it.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::record::Event;
use sealwright_core::statement::Subject;
use sealwrightd::audit::disk::{Disk, RealDisk};
use sealwrightd::audit::index_keeper::{self, rebuild};
use sealwrightd::audit::recovery::recover;
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::writer::Journal;
use sealwrightd::failpoints::Failpoints;
use support::{FixedClock, genesis, signed, started};

const LIMIT: Duration = Duration::from_secs(30);

/// All rows, once the thread that followed the journal has let go of them.
fn rows(folder: &Path) -> Vec<(sled::IVec, sled::IVec)> {
    let deadline = Instant::now() + LIMIT;
    let db = loop {
        match sled::open(folder) {
            Ok(db) => break db,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    };
    db.iter().map(Result::unwrap).collect()
}

/// A signature over a subject of its own.
fn with_subject(n: u64) -> Event {
    let Event::Sign(mut sign) = signed("a", n) else {
        panic!("no signature")
    };
    sign.subjects.push(Subject {
        digests: BTreeMap::from([("sha256".to_owned(), format!("{n:064x}"))]),
        name: None,
    });
    Event::Sign(sign)
}

#[test]
fn a_rebuilt_index_equals_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (journal_dir, index_dir) = (folder.path().join("journal"), folder.path().join("index"));
    std::fs::create_dir(&journal_dir).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&journal_dir));
    let found = recover(disk.as_ref(), &journal_dir, &mut |_, _| {}).unwrap();
    let space = Arc::new(Space::default());
    let segments = Segments::open(Arc::clone(&disk), SEGMENT_MIN, space, &found).unwrap();
    let (index, follower, indexer) = index_keeper::start(&index_dir, disk, &journal_dir).unwrap();
    let (clock, failpoints) = (Arc::new(FixedClock), Arc::new(Failpoints::default()));
    let (journal, thread) = Journal::start(
        segments,
        found.state,
        clock,
        failpoints,
        vec![Box::new(follower)],
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _ = journal.record(genesis()).await.unwrap();
        for n in 0..700 {
            let event = if n % 3 == 0 {
                started(n.to_string(), n)
            } else {
                with_subject(n)
            };
            let _ = journal.record(event).await.unwrap();
        }
        assert!(index.wait_for(701, LIMIT).await);
    });
    drop((journal, index));
    thread.join().unwrap();
    indexer.join().unwrap();
    let old = rows(&index_dir);
    let mut told = 0;
    assert_eq!(rebuild(folder.path(), &mut |n| told = n).unwrap(), 701);
    assert!(told > 0 && old.len() > 701 / 4);
    assert_eq!(rows(&index_dir), old);
}
