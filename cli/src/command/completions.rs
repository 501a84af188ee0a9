//! `sealwright completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::failure::Failure;

/// Print completions for a shell; see the shell's manual for where they belong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut command = super::Args::command();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sealwright", &mut text);
    Ok(crate::files::write_product("-".as_ref(), &text)?)
}
