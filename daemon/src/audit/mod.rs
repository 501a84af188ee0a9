//! The audit log: journal, index, tree and checkpoints, and how they start from what is on disk.
//!
//! The journal is the log of record; everything else follows from it and can be made anew.

pub mod archive;
pub mod background;
pub mod checkpoint;
pub mod checkpoint_store;
pub mod disk;
pub mod eraser;
pub mod erasure;
mod folding;
mod founding;
pub mod fsck;
pub mod index;
pub mod index_keeper;
mod index_rows;
mod index_subjects;
pub mod min_version;
pub mod old_journal;
mod opening;
pub mod reader;
pub mod recovery;
pub mod removal;
pub mod rewrite;
pub mod segments;
pub mod shard;
pub mod snapshot;
pub mod stubs;
pub mod tree;
pub mod witnesses;
pub mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use sealwright_core::clock::Basis;
use sealwright_core::record::{Event, LogRecovered};
use sealwright_core::state::State;
use sealwright_core::tlog::tree::TreeError;

use self::checkpoint::{CheckpointError, Published};
use self::checkpoint_store::Store;
use self::disk::{Disk, RealDisk};
use self::eraser::Eraser;
use self::founding::FoundingFile;
use self::index::Index;
use self::opening::{Found, Places};
use self::recovery::RecoveryError;
use self::segments::{Segments, Space};
use self::snapshot::{Snapshot, SnapshotFile, SnapshotFollower};
use self::stubs::Stub;
use self::tree::{Pending, PendingFollower, TileError, Tree};
use self::writer::{Journal, RecordError};
use crate::clock::Clock;
use crate::failpoints::Failpoints;

/// Where the audit log lies and how large its parts are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `/var/lib/sealwright`.
    pub state_dir: PathBuf,
    /// Bytes of one journal segment.
    pub segment_bytes: u64,
    /// Work is refused while the disk has less than this free.
    pub low_water_bytes: u64,
}

/// Why the audit log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon holds the lock.
    #[error(
        "{0} is locked: another sealwrightd is running on this state directory, or `sealwrightd` fsck, reindex or archive is at work"
    )]
    Locked(PathBuf),
    /// A newer version finalised its upgrade.
    #[error(transparent)]
    MinVersion(#[from] min_version::MinVersionError),
    /// The journal is unusable.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The tiles cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError<TileError>),
    /// Neither journal nor genesis.
    #[error("{0} holds no log yet; run `sealwright init` first")]
    NoGenesis(PathBuf),
    /// The genesis file is not one.
    #[error("{path} is not a genesis record: {reason}; run `sealwright init` again")]
    BadGenesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log begins with records of another one, and not all of them are in it.
    #[error(
        "{path} is gone, and {missing} records in it are not in the log yet: put the file back, or clear the state \
         directory and run `sealwright init --continues` again"
    )]
    Founding {
        /// The file.
        path: PathBuf,
        /// Records that are missing.
        missing: u64,
    },
    /// The log is not the one that was signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The first records could not be written.
    #[error("the first records of this run could not be written: {0}")]
    Record(#[from] RecordError),
}

/// The open audit log.
pub struct Audit {
    /// What the wall clock is compared with: the log as this start found it.
    pub clock_basis: Basis,
    /// The writer's handle.
    pub journal: Journal,
    /// For queries.
    pub index: Index,
    /// The tree, up to the newest checkpoint.
    pub tree: Tree,
    /// Leaves that wait for the next checkpoint.
    pub pending: Arc<Pending>,
    /// What admission asks.
    pub space: Arc<Space>,
    /// Where checkpoints are kept.
    pub checkpoints: Arc<Store>,
    /// Destroys bodies.
    pub eraser: Eraser,
    /// The journal's folder, for those who select what is erased.
    pub disk: Arc<dyn Disk>,
    /// Segments whose bodies are in the archive.
    pub archived: Vec<Stub>,
    /// The newest checkpoint; the log agrees with it.
    pub newest: Option<Published>,
    /// Index of the first record that the start read; those before it are read in the background.
    pub resumed_from: u64,
    /// Ends at [`Journal::close`].
    pub writer: JoinHandle<()>,
    /// Ends after the writer.
    pub indexer: JoinHandle<()>,
    // Held as long as the process lives; the kernel lets go of it when we die.
    _lock: File,
}

/// Opens the log: lock, recovery, tiles, index, and the records that begin this run.
pub async fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    failpoints: Arc<Failpoints>,
) -> Result<Audit, OpenError> {
    let lock = lock(&settings.state_dir)?;
    min_version::check(&settings.state_dir, env!("CARGO_PKG_VERSION"))?;
    let journal_dir = folder(&settings.state_dir, "journal")?;
    let tiles_dir = folder(&settings.state_dir, "tiles")?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&journal_dir));

    let checkpoints = Arc::new(Store::open(&settings.state_dir.join("checkpoints"))?);
    let file = SnapshotFile::of(&settings.state_dir);
    let founding = FoundingFile::read(&settings.state_dir);
    let places = Places {
        disk: Arc::clone(&disk),
        journal: &journal_dir,
        tiles: &tiles_dir,
        checkpoints: &checkpoints,
        genesis: match &founding {
            Ok(Some(file)) => Some(file.genesis()),
            _ => None,
        },
    };
    let Found {
        recovered: found,
        tree,
        newest,
        from,
    } = opening::read(&places, Snapshot::read(file.path()))?;
    let founding = FoundingFile::due(founding, &found.state, &settings.state_dir)?;

    let space = Arc::new(Space::default());
    let segments = Segments::open(
        Arc::clone(&disk),
        settings.segment_bytes,
        Arc::clone(&space),
        &found,
    )
    .map_err(|source| OpenError::Io {
        path: journal_dir.clone(),
        source,
    })?;
    let pending = Arc::new(Pending::default());
    pending.set_in_tiles(tree.size());
    let snapshots = SnapshotFollower::start(
        file.clone(),
        tree.frontier().clone(),
        Arc::clone(&pending),
        from,
    )
    .map_err(|source| OpenError::Io {
        path: file.path().to_owned(),
        source,
    })?;
    let (index, index_follower, indexer) = index_keeper::start(
        &settings.state_dir.join("index"),
        Arc::clone(&disk),
        &journal_dir,
    )
    .map_err(|source| OpenError::Io {
        path: journal_dir.clone(),
        source,
    })?;
    let followers: Vec<Box<dyn writer::Follower>> = vec![
        Box::new(PendingFollower(Arc::clone(&pending))),
        Box::new(index_follower),
        Box::new(snapshots),
    ];
    // Before this run writes anything: its own records have the time of a clock that may be wrong.
    let boot_id = clock.boot_id();
    let basis = |state: &State| state.clock_basis(boot_id.as_deref());
    let earlier = (found.state.next_index() > 0).then(|| basis(&found.state));
    let started = Journal::start(
        segments,
        found.state,
        clock,
        Arc::clone(&failpoints),
        followers,
    );
    let (journal, writer) = started.map_err(|source| OpenError::Io {
        path: journal_dir.clone(),
        source,
    })?;
    let failed = |source| OpenError::Io {
        path: journal_dir.clone(),
        source,
    };
    keep_space(settings.clone(), Arc::clone(&disk), Arc::clone(&space)).map_err(failed)?;

    if let Some(file) = &founding {
        file.begin(&journal).await?;
    }
    if let Some(torn) = found.torn {
        record_torn(&journal, torn).await?;
    }
    if let Some(file) = founding {
        file.finish(&journal).await?;
    }
    let eraser = Eraser::start(eraser::Parts {
        disk: Arc::clone(&disk),
        folder: journal_dir.clone(),
        low_water_bytes: settings.low_water_bytes,
        journal: journal.clone(),
        index: index.clone(),
        snapshot: file.clone(),
        failpoints,
    });
    let eraser = eraser.map_err(failed)?;
    let archived = Stub::all(disk.as_ref()).map_err(failed)?;
    // A log that begins now has nothing to compare a clock with but its own genesis.
    let clock_basis = earlier.unwrap_or_else(|| journal.with_state(basis));
    if from > 0 {
        let checked = background::start(&settings.state_dir, journal.clone(), file.clone());
        checked.map_err(|source| OpenError::Io {
            path: file.path().to_owned(),
            source,
        })?;
    }
    Ok(Audit {
        clock_basis,
        journal,
        resumed_from: from,
        index,
        tree,
        pending,
        space,
        checkpoints,
        newest,
        eraser,
        disk,
        archived,
        writer,
        indexer,
        _lock: lock,
    })
}

/// Records that a torn batch was cut off. Right behind the genesis, before anything else: what is left of the
/// batch is zeroed with this record.
pub async fn record_torn(journal: &Journal, torn: LogRecovered) -> Result<(), RecordError> {
    tracing::warn!(
        segment = torn.segment,
        offset = torn.offset,
        bytes = torn.bytes,
        "a batch that was never acknowledged was cut off the journal"
    );
    let _ = journal.record(Event::LogRecovered(torn)).await?;
    Ok(())
}

fn lock(state_dir: &Path) -> Result<File, OpenError> {
    let path = state_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked(path)),
        Err(std::fs::TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

fn folder(state_dir: &Path, name: &str) -> Result<PathBuf, OpenError> {
    let path = state_dir.join(name);
    std::fs::create_dir_all(&path).map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// How often the disk's free space is looked at.
const SPACE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Looks once before anybody asks, then in a thread of its own: making a spare writes a whole segment.
fn keep_space(settings: Settings, disk: Arc<dyn Disk>, space: Arc<Space>) -> io::Result<()> {
    let look = move || {
        space.keep(
            disk.as_ref(),
            settings.segment_bytes,
            settings.low_water_bytes,
        )
    };
    look();
    let thread = std::thread::Builder::new().name("space".to_owned());
    thread.spawn(move || {
        loop {
            std::thread::sleep(SPACE_INTERVAL);
            look();
        }
    })?;
    Ok(())
}
