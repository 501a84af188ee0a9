//! A person's word that a public key is the right one.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use sealwright_core::digest::Sha256Digest;

use crate::failure::Failure;

/// How the fingerprint is confirmed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Confirmation {
    /// It was read elsewhere, such as from the device's own tools, and given as a flag.
    Fingerprint(Sha256Digest),
    /// Whatever the driver says is taken.
    Yes,
    /// Somebody at the terminal is asked.
    Ask,
}

impl Confirmation {
    /// `--confirm SHA256`, `--yes`, or neither.
    pub(crate) fn from_flags(confirm: Option<Sha256Digest>, yes: bool) -> Self {
        match (confirm, yes) {
            (Some(fingerprint), _) => Self::Fingerprint(fingerprint),
            (None, true) => Self::Yes,
            (None, false) => Self::Ask,
        }
    }

    /// Whether it can end well at all: somebody to ask, or nobody to be asked.
    pub(crate) fn is_possible(self) -> bool {
        !matches!(self, Self::Ask) || std::io::stdin().is_terminal()
    }
}

/// Asks for, or compares, the fingerprint of `what`. `flags` are those that confirm without a terminal.
pub(crate) fn fingerprint(
    what: &str,
    found: Sha256Digest,
    confirmation: Confirmation,
    flags: &str,
) -> Result<(), Failure> {
    match confirmation {
        Confirmation::Yes => Ok(()),
        Confirmation::Fingerprint(expected) if expected == found => Ok(()),
        Confirmation::Fingerprint(expected) => Err(Failure::NotGood(format!(
            "{what} has fingerprint {found}, not the confirmed {expected}; nothing was done"
        ))),
        Confirmation::Ask if std::io::stdin().is_terminal() => {
            eprintln!("{what} has SHA-256 fingerprint\n  {found}");
            ask("Is that what the device's own tools show?")
        }
        Confirmation::Ask => Err(Failure::Local(format!(
            "{what} has SHA-256 fingerprint {found}; compare it with what the device's own tools show, then repeat with {flags}"
        ))),
    }
}

/// Asks somebody at the terminal; anything but `yes` is no.
pub(crate) fn ask(question: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        let why =
            "nobody is there to be asked: look at what was shown, then give --confirm or --yes";
        return Err(Failure::local(why));
    }
    eprint!("{question} [yes/no] ");
    std::io::stderr().flush().map_err(Failure::local)?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Failure::local)?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::Local("not confirmed; nothing was done".to_owned()))
    }
}
