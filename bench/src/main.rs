//! `sealwright-bench`: what a token can do, what is left of it behind a driver process and behind the daemon,
//! and what the machine's disk allows. All of it on the same kind of token, interleaved, in one run.
//!
//! Each token has three sites (see `sealwright-softhsm-tests`) that differ in nothing but who uses the token:
//! this program's own child (*raw*), a child that speaks the wire to the driver process (*driver*), or callers
//! of the daemon (*daemon*). A token of its own for each, because two processes on one TPM flush each other's
//! slots.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aims;
mod canonical;
mod card;
mod child;
mod disk;
mod echo;
mod figures;
mod handshake;
mod journal;
mod load;
mod log;
mod open;
mod open_loop;
mod parts;
mod point;
mod process;
mod raw;
mod revocation;
mod rig;
mod rotation;
mod sample;
mod statement;
mod synthetic;
mod table;
mod tls;
mod token;
mod verdict;
mod whole;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::figures::Figures;
use crate::token::Plan;

/// Measures raw token, driver process and daemon side by side. Runs as root, because each part of a signing
/// host is a user of its own.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Rounds; every figure is the median of them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that one point is measured in one round.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// One short round: shows that everything runs, its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Measure this part alone; may be given several times.
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Requests that wait at any time in a token's table.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = token::CONNECTIONS)]
    connections: Vec<usize>,
    /// Measure one more log, of so many records, below TMPDIR; needs about 3 KB of disk for each.
    #[arg(long, value_name = "N", env = "BENCH_LOG_RECORDS")]
    log_records: Option<u64>,
    /// Where the figures go as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    out: PathBuf,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Softhsm,
    Swtpm,
    Scripted,
    Piv,
    Handshake,
    Statement,
    Rotation,
    Revocation,
    Verdict,
    Journal,
    Log,
    Canonical,
}

/// What this program does as a child of itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Child {
    #[command(hide = true)]
    Raw(raw::Args),
    #[command(hide = true)]
    Wire(wire::Args),
    #[command(hide = true)]
    Echo(echo::Args),
    #[command(hide = true)]
    Open(open::Args),
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    match args.child {
        Some(Child::Raw(args)) => raw::run(&args),
        Some(Child::Wire(args)) => wire::run(&args),
        Some(Child::Echo(args)) => echo::run(&args),
        Some(Child::Open(args)) => open::run(&args),
        None => bench(&args.options),
    }
}

fn bench(options: &Options) -> io::Result<()> {
    let plan = plan(options);
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let mut figures = Figures::default();
    for (part, token) in [
        (Part::Softhsm, token::SOFTHSM),
        (Part::Swtpm, token::SWTPM),
        (Part::Scripted, token::SCRIPTED),
    ] {
        if wanted(part) {
            token::measure(&token, &plan, &mut figures)?;
        }
    }
    if wanted(Part::Piv) {
        card::measure(&plan, &mut figures)?;
    }
    if wanted(Part::Handshake) {
        handshake::measure(&plan, &mut figures)?;
    }
    if wanted(Part::Statement) {
        statement::measure(&plan, &mut figures)?;
    }
    if wanted(Part::Rotation) {
        rotation::measure(&plan, &mut figures)?;
    }
    if wanted(Part::Revocation) {
        revocation::measure(&plan, &mut figures)?;
    }
    if wanted(Part::Verdict) {
        verdict::measure(options.quick, &mut figures)?;
    }
    let scratch = options.out.parent().unwrap_or(Path::new("."));
    if wanted(Part::Journal) {
        journal::measure(&plan, scratch, &mut figures)?;
        whole::measure(&plan, &mut figures)?;
    }
    if wanted(Part::Log) {
        log::measure(plan.rounds, options.quick, &mut figures)?;
    }
    if wanted(Part::Canonical) {
        canonical::measure(plan.rounds, &mut figures)?;
    }
    if let Some(records) = options.log_records {
        log::report(records, plan.rounds)?;
    }
    println!("{}", table::aims(figures.all()));
    figures.write(&options.out)?;
    println!("written to {}", options.out.display());
    Ok(())
}

fn plan(options: &Options) -> Plan {
    let (rounds, seconds) = if options.quick {
        (1, 0.3)
    } else {
        (options.rounds.max(1), options.seconds)
    };
    Plan {
        rounds,
        time: Duration::from_secs_f64(seconds),
        connections: options.connections.clone(),
    }
}
