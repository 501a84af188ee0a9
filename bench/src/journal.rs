//! The journal alone with ready records, beside a plain append and `fdatasync` of as many bytes on the same disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealwright_core::record::Event;

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
/// Bytes that such a record takes in a batch.
const RECORD: usize = 1456;
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
    let open = Open::journal(folder, Vec::new())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(synthetic::add(&open.journal, synthetic::genesis()?))?;
    let plain = zeros(&folder.join("plain"))?;
    let mut rows = Vec::new();
    for writers in WRITERS {
        let (mut ceiling, mut journal) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let window = Window::of(plan.time);
            let append = || append(&plain, writers, window);
            ceiling.push(Sample::measure(window, &Meter::of([]), append));
            let window = Window::of(plan.time);
            let record = || runtime.block_on(record(&open, writers, window));
            journal.push(Sample::measure(window, &Meter::of([]), record));
        }
        let ratio = median(journal.iter().zip(&ceiling).map(|(j, c)| j.rate / c.rate));
        if (name, writers) == ("disk", AIM_AT) {
            figures.add(&aims::JOURNAL_RATIO, ratio);
        }
        rows.push(Row::plain(writers, "plain", Sample::median(&ceiling)));
        let journal = Sample::median(&journal);
        rows.push(Row::compared(writers, "journal", journal, ratio));
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
fn append(file: &File, writers: usize, window: Window) -> Tally {
    let group = vec![0x5a; RECORD * writers];
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
