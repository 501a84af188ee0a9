//! `sealwright man`.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::failure::Failure;
use crate::files;

/// Print the manual page, or write one for every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write `sealwright.1` and a page for each subcommand into this folder.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let command = super::Args::command();
    if let Some(folder) = &args.dir {
        let failed = |e: std::io::Error| {
            Failure::Local(format!("cannot write to {}: {e}", folder.display()))
        };
        return clap_mangen::generate_to(command, folder).map_err(failed);
    }
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(Failure::local)?;
    Ok(files::write_product("-".as_ref(), &page)?)
}
