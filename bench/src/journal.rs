//! The journal alone, beside a plain append and `fdatasync` of as many bytes on the same disk, in three rows: *plain*,
//! *commit* (ready records become a durable batch: chain, digest, write, sync), and *writer* (so many callers wait for
//! their own record, which is decided on, encoded, salted, hashed and folded first, one after the other).

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sealwright_core::journal::{BATCH_MAX, Chain, Entry, HEADER_LEN, batch_len};
use sealwright_core::record::Event;
use sealwright_core::state::State;
use sealwrightd::audit::disk::{Disk, RealDisk};
use sealwrightd::audit::recovery::Recovered;
use sealwrightd::audit::segments::Segments;

use crate::aims;
use crate::figures::Figures;
use crate::process::Meter;
use crate::sample::{Sample, Tally, Window, median};
use crate::synthetic::{self, Open};
use crate::table::{self, Row};
use crate::token::Plan;

/// Writers that each wait for their own record.
const WRITERS: [usize; 3] = [1, 16, 64];
/// The row that the aim is about.
const AIM_AT: usize = 64;
/// The plain file begins anew when it is full: as long as a segment.
const PLAIN_LEN: usize = 64 << 20;

/// Measures and prints, on the disk of `scratch` and in memory.
pub fn measure(plan: &Plan, scratch: &Path, figures: &mut Figures) -> io::Result<()> {
    let places = [
        ("disk", scratch.to_owned()),
        ("tmpfs", PathBuf::from("/dev/shm")),
    ];
    for (name, place) in places {
        let folder = place.join(format!("sealwright-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let result = measure_in(plan, name, &folder, figures);
        std::fs::remove_dir_all(&folder)?;
        result?;
    }
    Ok(())
}

fn measure_in(plan: &Plan, name: &str, folder: &Path, figures: &mut Figures) -> io::Result<()> {
    let open = Open::journal(&folder.join("writer"), Vec::new())?;
    let mut ready = Ready::new(&folder.join("commit"))?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(synthetic::add(&open.journal, synthetic::genesis()?))?;
    let plain = zeros(&folder.join("plain"))?;
    let mut rows = Vec::new();
    for writers in WRITERS {
        let (mut ceiling, mut commits, mut journal) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let window = Window::of(plan.time);
            let bytes = ready.batch_len(writers);
            let append = || append(&plain, bytes, writers, window);
            ceiling.push(Sample::measure(window, &Meter::of([]), append));
            let window = Window::of(plan.time);
            let commit = || ready.commit(writers, window);
            commits.push(Sample::measure(window, &Meter::of([]), commit));
            let window = Window::of(plan.time);
            let record = || runtime.block_on(record(&open, writers, window));
            journal.push(Sample::measure(window, &Meter::of([]), record));
        }
        let of_plain =
            |way: &[Sample]| median(way.iter().zip(&ceiling).map(|(w, c)| w.rate / c.rate));
        let (commit, writer) = (Sample::median(&commits), Sample::median(&journal));
        match (name, writers) {
            ("disk", AIM_AT) => figures.add(&aims::JOURNAL_RATIO, of_plain(&commits)),
            ("tmpfs", AIM_AT) => figures.add(&aims::JOURNAL_WRITER, writer.rate),
            _ => {}
        }
        rows.push(Row::plain(writers, "plain", Sample::median(&ceiling)));
        rows.push(Row::compared(writers, "commit", commit, of_plain(&commits)));
        rows.push(Row::compared(writers, "writer", writer, of_plain(&journal)));
    }
    let title =
        format!("Journal on {name}: records per s; plain is one append and fdatasync per group");
    println!("{}", table::token(&title, &rows));
    open.close()
}

fn zeros(path: &Path) -> io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; PLAIN_LEN])?;
    file.sync_all()?;
    Ok(file)
}

/// As many records as there are writers become durable together: more no journal can do for them.
fn append(file: &File, bytes: usize, writers: usize, window: Window) -> Tally {
    let group = vec![0x5a; bytes];
    let mut tally = Tally::new(window);
    for place in (0..PLAIN_LEN / group.len()).cycle() {
        let begun = Instant::now();
        let written = file.write_all_at(&group, (place * group.len()) as u64);
        let ok = written.and_then(|()| file.sync_data()).is_ok();
        if !(0..writers).fold(true, |_, _| tally.note(begun, ok)) {
            break;
        }
    }
    tally
}

/// Ready records, and the end of a journal to commit them to.
struct Ready {
    disk: Arc<dyn Disk>,
    segments: Segments,
    entries: Vec<Entry>,
    room: usize,
}

impl Ready {
    fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder));
        let segments = Self::open(&disk, None)?;
        let entries = (0..AIM_AT as u64)
            .map(synthetic::entry)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            disk,
            segments,
            entries,
            room: PLAIN_LEN - HEADER_LEN,
        })
    }

    fn open(disk: &Arc<dyn Disk>, segment: Option<u64>) -> io::Result<Segments> {
        let begin = Recovered {
            state: State::default(),
            chain: Chain::default(),
            segment,
            offset: HEADER_LEN as u64,
            last_len: 0,
            torn: None,
        };
        Segments::open(Arc::clone(disk), PLAIN_LEN as u64, Arc::default(), &begin)
    }

    fn commit(&mut self, records: usize, window: Window) -> Tally {
        let mut tally = Tally::new(window);
        loop {
            let begun = Instant::now();
            let ok = self.commit_one(records).is_ok();
            if !(0..records).fold(true, |_, _| tally.note(begun, ok)) {
                return tally;
            }
        }
    }

    fn commit_one(&mut self, records: usize) -> io::Result<()> {
        if self.room < BATCH_MAX {
            // Over the same zeros again, as the plain file.
            self.segments = Self::open(&self.disk, Some(0))?;
            self.room = PLAIN_LEN - HEADER_LEN;
        }
        let entries = self.entries.get(..records).unwrap_or_default();
        self.segments.commit(entries)?;
        self.room -= self.batch_len(records);
        Ok(())
    }

    /// Bytes of a batch with so many.
    fn batch_len(&self, records: usize) -> usize {
        let entries = self.entries.iter().take(records);
        batch_len(entries.map(Entry::encoded_len).sum())
    }
}

async fn record(open: &Open, writers: usize, window: Window) -> Tally {
    let writer = |number: usize| {
        let (journal, event) = (open.journal.clone(), synthetic::signature(number as u64));
        tokio::spawn(async move {
            let mut tally = Tally::new(window);
            let Ok(event) = event else { return tally };
            loop {
                let ready: Event = event.clone();
                let begun = Instant::now();
                let ok = synthetic::add(&journal, ready).await.is_ok();
                if !tally.note(begun, ok) {
                    return tally;
                }
            }
        })
    };
    let writers: Vec<_> = (0..writers).map(writer).collect();
    let mut tallies = Vec::new();
    for writer in writers {
        tallies.extend(writer.await);
    }
    Tally::merged(window, tallies)
}
