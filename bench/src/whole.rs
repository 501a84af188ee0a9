//! A record's whole way: decided, encoded, salted, hashed, durable, folded, in the tree, in the index. On tmpfs, so that
//! it is the code that is measured and not a disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealwright_core::record::{Event, SignRecord};
use sealwrightd::audit::disk::RealDisk;
use sealwrightd::audit::index::Index;
use sealwrightd::audit::index_keeper;
use sealwrightd::audit::snapshot::{SnapshotFile, SnapshotFollower};
use sealwrightd::audit::tree::{Pending, PendingFollower, Tree};
use sealwrightd::audit::writer::Journal;

use crate::aims;
use crate::figures::Figures;
use crate::process::Meter;
use crate::sample::{Sample, Tally, Window, median};
use crate::synthetic::{self, Open};
use crate::token::Plan;

/// Callers that each wait for their own record.
const WRITERS: u64 = 64;
/// A point is measured for so many times as long as others: the index must not fall behind slowly.
const LONGER: u32 = 4;
/// Between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(1);
/// Between two looks at how far the index is behind.
const LOOK: Duration = Duration::from_millis(50);
/// An index that takes longer has given up.
const LAG_MAX: Duration = Duration::from_secs(600);

/// Measures and prints.
pub fn measure(plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let (mut samples, mut lags) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let name = format!("sealwright-whole-{}", std::process::id());
        let folder = Path::new("/dev/shm").join(name);
        std::fs::create_dir_all(&folder)?;
        let result = round(&folder, plan.time * LONGER);
        std::fs::remove_dir_all(&folder)?;
        let (sample, lag) = result?;
        println!(
            "whole path: {:.0} records/s, p99 {:.1} ms, longest {:.1} ms, index behind by at most {:.0} ms",
            sample.rate,
            sample.p99_us / 1e3,
            sample.max_us / 1e3,
            lag.as_secs_f64() * 1e3
        );
        samples.push(sample);
        lags.push(lag.as_secs_f64() * 1e3);
    }
    let sample = Sample::median(&samples);
    figures.add(&aims::WHOLE, sample.rate);
    figures.add(&aims::WHOLE_LAG, median(lags));
    figures.add(&aims::WHOLE_P99, sample.p99_us / 1e3);
    Ok(())
}

fn round(folder: &Path, time: Duration) -> io::Result<(Sample, Duration)> {
    let runtime = tokio::runtime::Runtime::new()?;
    let whole = Whole::open(folder)?;
    let journal = &whole.open.journal;
    runtime.block_on(synthetic::add(journal, synthetic::genesis()?))?;
    let Event::Sign(like) = synthetic::signature(0)? else {
        return Err(io::Error::other("not a signature"));
    };
    let ended = Arc::new(AtomicBool::new(false));
    let lag = runtime.spawn(longest_lag(
        journal.clone(),
        whole.index.clone(),
        Arc::clone(&ended),
    ));
    let tree = {
        let (tree, pending, ended) = (whole.tree, whole.pending, Arc::clone(&ended));
        std::thread::spawn(move || grow(tree, &pending, &ended))
    };
    let window = Window::of(time);
    let load = || runtime.block_on(record(journal, &like, window));
    let sample = Sample::measure(window, &Meter::of([]), load);
    ended.store(true, Ordering::Release);
    let lag = runtime.block_on(lag).map_err(io::Error::other)?;
    let grown = tree.join();
    grown.map_err(|_| io::Error::other("the tree panicked"))??;
    whole.open.close()?;
    let indexed = whole.indexer.join();
    indexed.map_err(|_| io::Error::other("the index panicked"))?;
    Ok((sample, lag))
}

/// A log with all that follows it, as the daemon has it.
struct Whole {
    open: Open,
    tree: Tree,
    pending: Arc<Pending>,
    index: Index,
    indexer: std::thread::JoinHandle<()>,
}

impl Whole {
    fn open(folder: &Path) -> io::Result<Self> {
        let tree = Tree::rebuild(&folder.join("tiles"), &[]).map_err(io::Error::other)?;
        let pending = Arc::new(Pending::default());
        let file = SnapshotFile::of(folder);
        let frontier = tree.frontier().clone();
        let snapshots = SnapshotFollower::start(file, frontier, Arc::clone(&pending), 0)?;
        let journal = folder.join("journal");
        std::fs::create_dir_all(&journal)?;
        let disk = Arc::new(RealDisk::new(&journal));
        let (index, follower, indexer) =
            index_keeper::start(&folder.join("index"), disk, &journal)?;
        let leaves = PendingFollower(Arc::clone(&pending));
        let open = Open::journal(
            folder,
            vec![Box::new(leaves), Box::new(follower), Box::new(snapshots)],
        )?;
        Ok(Self {
            open,
            tree,
            pending,
            index,
            indexer,
        })
    }
}

/// The tree as the checkpointer grows it.
fn grow(mut tree: Tree, pending: &Pending, ended: &AtomicBool) -> io::Result<()> {
    while !ended.load(Ordering::Acquire) {
        std::thread::sleep(CHECKPOINT);
        tree.advance(pending).map_err(io::Error::other)?;
    }
    Ok(())
}

async fn longest_lag(journal: Journal, index: Index, ended: Arc<AtomicBool>) -> Duration {
    let mut longest = Duration::ZERO;
    while !ended.load(Ordering::Acquire) {
        tokio::time::sleep(LOOK).await;
        let next = journal.with_state(|state| state.next_index());
        let begun = Instant::now();
        index.wait_for(next, LAG_MAX).await;
        longest = longest.max(begun.elapsed());
    }
    longest
}

async fn record(journal: &Journal, like: &SignRecord, window: Window) -> Tally {
    let numbers = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (journal, like) = (journal.clone(), like.clone());
            let numbers = Arc::clone(&numbers);
            tokio::spawn(async move {
                let mut tally = Tally::new(window);
                loop {
                    let event = synthetic::another(&like, numbers.fetch_add(1, Ordering::Relaxed));
                    let begun = Instant::now();
                    let ok = synthetic::add(&journal, event).await.is_ok();
                    if !tally.note(begun, ok) {
                        return tally;
                    }
                }
            })
        })
        .collect();
    let mut tallies = Vec::new();
    for writer in writers {
        tallies.extend(writer.await);
    }
    Tally::merged(window, tallies)
}
