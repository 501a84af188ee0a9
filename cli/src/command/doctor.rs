//! `sealwright doctor`.

use std::path::PathBuf;

use crate::config::DEFAULT_CONFIG;
use crate::connect::Connection;
use crate::doctor::{self, Finding, Where};
use crate::failure::Failure;
use crate::output::Output;

/// Look for what keeps this host from signing.
///
/// Reads the configuration and its files, asks each token's driver (which may log in once), and, where a
/// client certificate is given, the daemon. Each finding has a stable id, names the thing, and says what to
/// do. Run it as the user whose view matters; root sees past permissions.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "SEALWRIGHT_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Do not ask the drivers: for hosts where only their own users may.
    #[arg(long)]
    no_drivers: bool,
    /// Where the driver binaries are [default: beside this program, or in PATH].
    #[arg(long, value_name = "FOLDER")]
    driver_dir: Option<PathBuf>,
    /// Write what is asked for after an incident into a new file: findings, status, metrics, configuration, names and
    /// sizes of the log's files, the newest log lines. No secret is in it; names of callers, keys and tenants are.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let place = Where {
        config: args.config,
        ask_drivers: !args.no_drivers,
        driver_dir: args.driver_dir,
    };
    let findings = doctor::examine(&place, args.connection.clone());
    if let Some(file) = &args.bundle {
        doctor::bundle::write(file, &place.config, args.connection, &findings)?;
    }
    output.answer(&serde_json::json!({ "findings": findings }), || {
        text(&findings)
    })?;
    match findings.len() {
        0 => Ok(()),
        1 => Err(Failure::not_good("1 finding")),
        several => Err(Failure::NotGood(format!("{several} findings"))),
    }
}

fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found".to_owned();
    }
    let lines = findings.iter().map(|finding| {
        let Finding {
            id,
            subject,
            problem,
            next,
        } = finding;
        format!("{id}\n  {subject}: {problem}\n  next: {next}")
    });
    lines.collect::<Vec<_>>().join("\n")
}
