//! `sealwright backup`.

use std::path::PathBuf;

use crate::backup::{self, Manifest};
use crate::config::DEFAULT_CONFIG;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Copy log, configuration and wrapped keys into a new folder, as root. The daemon may run.
    ///
    /// PINs and private keys are left out, and named. Private keys inside tokens are nowhere but there: a token that
    /// is lost takes its keys along.
    Create(Create),
    /// See that a backup is whole.
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The folder to make.
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "SEALWRIGHT_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The backup.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create(&args, output),
        Command::Check(args) => check(&args, output),
    }
}

fn create(args: &Create, output: Output) -> Result<(), Failure> {
    let made_at = crate::clock::now().to_string();
    let mut progress = Progress::new(output);
    let shown = |done, all| progress.show("files", done, all);
    let manifest = backup::create(&args.config, &args.to, made_at, shown)?;
    drop(progress);
    output.answer(&manifest, || text(args, &manifest))
}

fn text(args: &Create, manifest: &Manifest) -> String {
    let (files, bytes) = (manifest.files.len(), manifest.bytes());
    let to = args.to.display();
    let mut lines = vec![format!("{to}: {files} files, {bytes} bytes")];
    let left_out = manifest.left_out.iter().filter(|left| left.path.exists());
    lines.extend(left_out.map(|left| format!("left out: {} ({})", left.path.display(), left.why)));
    lines.push(format!(
        "next: `sealwright backup check {to}`, and take it off this host"
    ));
    lines.join("\n")
}

fn check(args: &Check, output: Output) -> Result<(), Failure> {
    let (manifest, wrong) = backup::check(&args.folder)?;
    let answer = serde_json::json!({ "made_at": manifest.made_at, "files": manifest.files.len(), "wrong": wrong });
    let folder = args.folder.display();
    output.answer(&answer, || match wrong.as_slice() {
        [] => format!(
            "{folder}: {} files, whole, of {}",
            manifest.files.len(),
            manifest.made_at
        ),
        wrong => wrong.join("\n"),
    })?;
    match wrong.len() {
        0 => Ok(()),
        count => Err(Failure::NotGood(format!(
            "{count} files are not as they were copied"
        ))),
    }
}
