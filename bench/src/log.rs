//! Large logs: proofs, starts, the index's rebuilding, memory and disk.

use std::io;
use std::path::Path;
use std::time::Instant;

use sealwright_core::tlog::prove::HashReader as _;
use sealwright_core::tlog::tree::TileReader;
use sealwrightd::audit::index_keeper::rebuild;
use sealwrightd::audit::tree::{Tree, inclusion};

use crate::aims;
use crate::child::own_program;
use crate::figures::Figures;
use crate::open;
use crate::sample::{median, micros};

/// Records of the logs.
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
/// The same where only a look is wanted.
const QUICK_SIZES: [u64; 3] = [1_000, 10_000, 20_000];
/// Proofs per log.
const PROOFS: u64 = 2_000;

/// Measures and prints; the logs lie in memory while it does.
pub fn measure(rounds: usize, quick: bool, figures: &mut Figures) -> io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut proofs = Vec::new();
    for size in if quick { QUICK_SIZES } else { SIZES } {
        let folder = Path::new("/dev/shm").join(format!("sealwright-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let run = |proofs: &mut Vec<f64>, figures: &mut Figures| -> io::Result<()> {
            let begun = Instant::now();
            let tree = runtime.block_on(crate::synthetic::log(&folder, size))?;
            let rate = size as f64 / begun.elapsed().as_secs_f64();
            proofs.push(proof_us(&tree)?);
            println!("log of {size} records: written at {rate:.0} records/s on tmpfs");
            if proofs.len() == SIZES.len() {
                let large = Large::measure(&folder, size, rounds)?;
                println!("index: {:.0} bytes per record", large.index_bytes);
                figures.add(&aims::LOG_BYTES, large.bytes);
                figures.add(&aims::REINDEX, large.reindex);
                figures.add(&aims::READY, large.ready_ms);
                figures.add(&aims::LOG_RSS, large.rss_mib);
            }
            Ok(())
        };
        let result = run(&mut proofs, figures);
        std::fs::remove_dir_all(&folder)?;
        result?;
    }
    println!("inclusion proof, p50 us by size: {proofs:.0?}\n");
    if let [small, .., large] = proofs[..] {
        figures.add(&aims::PROOF_US, large);
        figures.add(&aims::PROOF_FLAT, large / small);
    }
    Ok(())
}

/// Median time of a proof, made and checked as the daemon does.
fn proof_us(tree: &Tree) -> io::Result<f64> {
    let size = tree.size();
    let root = tree.frontier().root();
    let reader = TileReader::new(tree.tiles(), size);
    let mut times = Vec::new();
    for number in 0..PROOFS {
        let index = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size;
        let leaf = reader.hash(0, index).map_err(io::Error::other)?;
        let begun = Instant::now();
        inclusion(tree.tiles(), &leaf, index, size, &root).map_err(io::Error::other)?;
        times.push(micros(begun.elapsed()));
    }
    Ok(median(times))
}

/// One more log, of any size: reported, without an aim.
pub fn report(records: u64, rounds: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = std::env::temp_dir().join(format!("sealwright-log-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let run = || -> io::Result<()> {
        let begun = Instant::now();
        let tree = runtime.block_on(crate::synthetic::log(&folder, records))?;
        let rate = records as f64 / begun.elapsed().as_secs_f64();
        let (proof, large) = (proof_us(&tree)?, Large::measure(&folder, records, rounds)?);
        println!(
            "log of {records} records in {}: written at {rate:.0} records/s, indexed at {:.0}; {:.0} bytes per record and \
             {:.0} in the index; proof {proof:.0} us, ready in {:.0} ms, {:.0} MiB resident\n",
            folder.display(),
            large.reindex,
            large.bytes,
            large.index_bytes,
            large.ready_ms,
            large.rss_mib
        );
        Ok(())
    };
    let result = run();
    std::fs::remove_dir_all(&folder)?;
    result
}

/// What a log costs as a whole.
struct Large {
    /// Journal and tiles, per record.
    bytes: f64,
    /// The index, per record.
    index_bytes: f64,
    /// Records per second into a new index.
    reindex: f64,
    ready_ms: f64,
    rss_mib: f64,
}

impl Large {
    fn measure(folder: &Path, size: u64, rounds: usize) -> io::Result<Self> {
        let bytes = bytes_below(&folder.join("journal"))? + bytes_below(&folder.join("tiles"))?;
        let begun = Instant::now();
        let records = rebuild(folder, &mut |_| {})?;
        let reindex = records as f64 / begun.elapsed().as_secs_f64();
        let index = bytes_below(&folder.join("index"))?;
        let mut starts = Vec::new();
        for _ in 0..rounds {
            starts.push(own_program(&["open".as_ref(), folder.as_os_str()])?);
        }
        let starts: Vec<open::Started> = starts
            .iter()
            .map(|line| serde_json::from_str(line))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            bytes: bytes as f64 / size as f64,
            index_bytes: index as f64 / size as f64,
            reindex,
            ready_ms: median(starts.iter().map(|s| s.ready_ms)),
            rss_mib: median(starts.iter().map(|s| s.peak_mib)),
        })
    }
}

fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.metadata()? {
            kind if kind.is_dir() => bytes_below(&entry.path())?,
            file => file.len(),
        };
    }
    Ok(bytes)
}
