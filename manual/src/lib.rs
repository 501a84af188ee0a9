//! Manual pages and shell completions: every program prints its own, from the command line that it parses.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

/// What a program says about its own command line.
#[derive(Debug, Clone, Subcommand)]
pub enum Manual {
    /// Print completions for a shell; see the shell's manual for where they belong.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for every command.
    Man {
        /// Write the program's page and one for each subcommand into this folder.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

impl Manual {
    /// Prints or writes it; `command` is the whole program's.
    ///
    /// # Errors
    /// The folder, or standard output, cannot be written to.
    pub fn run(self, mut command: Command) -> io::Result<()> {
        let mut text = Vec::new();
        match self {
            Self::Completions { shell } => {
                let name = command.get_name().to_owned();
                clap_complete::generate(shell, &mut command, name, &mut text);
            }
            Self::Man { dir: None } => Man::new(command).render(&mut text)?,
            Self::Man { dir: Some(folder) } => {
                return clap_mangen::generate_to(command, &folder).map_err(|e| {
                    let text = format!("cannot write to {}: {e}", folder.display());
                    io::Error::new(e.kind(), text)
                });
            }
        }
        io::stdout().lock().write_all(&text)
    }
}
