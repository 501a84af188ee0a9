//! `sealwright init`: the log key's genesis, and whatever of the configuration is still missing.
//!
//! Everything is looked at before anything is written, and the genesis file comes last: a run that was
//! interrupted leaves files that the next one either keeps (configuration, policy) or names (certificates).

mod inheritance;
mod layout;
mod plan;

use std::path::PathBuf;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::scheme::Scheme;
use sealwright_core::uri::KeyUri;

use crate::confirm::{self, Confirmation};
use crate::failure::Failure;
use crate::output::Output;
use crate::owner::Owner;
use plan::Plan;

/// Set this host up.
///
/// Needs the token configuration tokens/TOKEN.toml, and the log key on that token (or
/// --generate-log-key). Run it as root, once; it refuses where a log exists.
///
/// With --continues the new log takes the place of another one: after a restore, on another host, or to change the
/// log key. Every key version comes over, and what was Active is Suspended until an operator resumes it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration's folder.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/sealwright")]
    config_dir: PathBuf,
    /// The daemon's state folder.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/sealwright")]
    state_dir: PathBuf,
    /// The folder of the daemon's sockets.
    #[arg(long, value_name = "FOLDER", default_value = "/run/sealwright")]
    run_dir: PathBuf,
    /// The log's origin, a name that is yours alone, as in example.org/sealwright/host1.
    #[arg(long)]
    origin: String,
    /// What `sealwrightd shard` wrote of the log whose place this one takes; --origin is then another one.
    #[arg(long, value_name = "FILE")]
    continues: Option<PathBuf>,
    /// The token that holds the log key.
    #[arg(long, value_name = "TOKEN")]
    log_token: String,
    /// The log key's URI, as in pkcs11:object=log.
    #[arg(long, value_name = "URI")]
    log_key: KeyUri,
    /// Make the log key instead of finding it; its fingerprint is confirmed afterwards.
    #[arg(long, conflicts_with = "confirm")]
    generate_log_key: bool,
    /// The log key's scheme: ed25519, or ecdsa-p256-sha256, which public witnesses do not cosign.
    #[arg(long, default_value = "ed25519")]
    log_scheme: Scheme,
    /// The driver's binary [default: sealwright-driver-KIND beside this program or in PATH].
    #[arg(long, value_name = "FILE")]
    log_driver: Option<PathBuf>,
    /// Whom the driver runs as.
    #[arg(long, value_name = "UID:GID")]
    driver_user: Option<Owner>,
    /// Whom the daemon runs as: owner of the state folder, reader of its TLS key.
    #[arg(long, value_name = "UID:GID")]
    daemon_user: Option<Owner>,
    /// An identity that may operate; may be repeated.
    #[arg(long = "operator", value_name = "URI", required = true)]
    operators: Vec<String>,
    /// An identity that approves what needs a second person; may be repeated.
    #[arg(long = "approver", value_name = "URI")]
    approvers: Vec<String>,
    /// How many approvals each step of a key's life needs, and each other policy; fixed for the life of the log.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    approvals: u32,
    /// An identity that asks for signatures; may be repeated.
    #[arg(long = "client", value_name = "URI")]
    clients: Vec<String>,
    /// An identity that reads the audit log; may be repeated.
    #[arg(long = "auditor", value_name = "URI")]
    auditors: Vec<String>,
    /// The log key's SPKI fingerprint, read from the device's own tools.
    #[arg(long, value_name = "SHA256", conflicts_with = "yes")]
    confirm: Option<Sha256Digest>,
    /// Take the key that the driver finds.
    #[arg(long)]
    yes: bool,
    /// Also make a CA, the daemon's certificate, and one for each identity, under CONFIG_DIR/tls.
    #[arg(long)]
    with_ca: bool,
}

pub(crate) fn run(mut args: Args, output: Output) -> Result<(), Failure> {
    for folder in [&mut args.config_dir, &mut args.state_dir, &mut args.run_dir] {
        *folder = std::path::absolute(&folder).map_err(Failure::local)?;
    }
    let confirmation = Confirmation::from_flags(args.confirm, args.yes);
    if args.generate_log_key && !confirmation.is_possible() {
        return Err(Failure::local(
            "--generate-log-key needs --yes, or a terminal to confirm the new key's fingerprint at",
        ));
    }
    let plan = Plan::make(&args)?;
    let log_key = plan.log_key(&args)?;
    let what = format!("the log key {} on token {}", log_key.uri, log_key.token);
    let found = log_key.spki.sha256();
    let flags = format!("--confirm {found}");
    confirm::fingerprint(&what, found, confirmation, &flags)?;
    let done = layout::write(&args, &plan, log_key)?;
    output.answer(&done, || done.text())
}
