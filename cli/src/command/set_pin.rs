//! `sealwright token set-pin`: from a terminal to systemd's encrypted credentials, and nowhere else.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealwright_driver_api::TokenConfig;
use zeroize::Zeroizing;

use crate::driver::token_config;
use crate::failure::Failure;
use crate::output::Output;
use crate::{child, credential, files};

/// Longest PIN or auth value in bytes: what a driver reads.
const PIN_MAX: usize = 4096;

/// Keep a token's PIN for its driver, encrypted for this host.
///
/// Run it as root. The PIN is asked for twice at the terminal, encrypted by systemd-creds, and decrypted by systemd for the
/// driver's process alone, when that starts. It is not tried here: the driver tries it once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token's name in the configuration.
    token: String,
    /// Read the PIN from standard input, to its end, instead of asking for it.
    #[arg(long)]
    stdin: bool,
    /// What it is encrypted with: host, tpm2, host+tpm2, or auto for the best that this machine has.
    #[arg(long, value_name = "KEY", default_value = "auto", value_parser = ["auto", "host", "tpm2", "host+tpm2"])]
    with_key: String,
    /// The configuration's folder.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/sealwright")]
    config_dir: PathBuf,
    /// Where the driver's unit looks for it.
    #[arg(long, value_name = "FOLDER", default_value = credential::STORE)]
    store: PathBuf,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let token = token(&args.config_dir, &args.token)?;
    let pin = if args.stdin {
        from_stdin()?
    } else {
        from_terminal(&token.name)?
    };
    let pin = checked(pin)?;
    let encrypted = encrypt(&pin, &args.with_key)?;
    files::create_folder(&args.store, 0o700, None)?;
    let file = credential::file(&args.store, &token.name);
    files::replace(&file, &encrypted, 0o600)?;
    let (name, kind) = (&token.name, &token.kind);
    output.answer(
        &serde_json::json!({ "token": name, "credential": file }),
        || {
            let file = file.display();
            format!(
                "wrote {file}\nA driver that runs keeps the PIN it has: systemctl stop sealwright-driver-{kind}@{name}.service, and the \
                 next request starts it anew. A mark of a failed login is for the PIN it was made with."
            )
        },
    )
}

/// The token has to be known, and must not take its PIN from elsewhere.
fn token(config_dir: &Path, name: &str) -> Result<TokenConfig, Failure> {
    let file = token_config(config_dir, name);
    let token = TokenConfig::read(&file).map_err(Failure::local)?;
    match &token.credential {
        None => Ok(token),
        Some(other) => Err(Failure::Local(format!(
            "{} has credential = {other:?}, and the driver would read that instead; take the line out first",
            file.display()
        ))),
    }
}

fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut pin = Zeroizing::new(String::new());
    let limit = PIN_MAX as u64 + 2; // one more, and a line end
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut pin)
        .map_err(Failure::local)?;
    Ok(pin)
}

fn from_terminal(token: &str) -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt: String| {
        let typed = rpassword::prompt_password(prompt).map(Zeroizing::new);
        typed.map_err(|e| {
            Failure::Local(format!(
                "no terminal to ask for the PIN: {e}; --stdin reads it from elsewhere"
            ))
        })
    };
    let pin = ask(format!("PIN of token {token}: "))?;
    let again = ask("Once more: ".to_owned())?;
    if *pin == *again {
        Ok(pin)
    } else {
        Err(Failure::local(
            "the two are not the same; nothing was changed",
        ))
    }
}

/// Without the line end of whatever wrote it. An editor's stray line would be tried, and counted, as a wrong PIN.
fn checked(mut pin: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    let length = pin.trim_end_matches(['\r', '\n']).len();
    pin.truncate(length);
    if pin.is_empty() {
        return Err(Failure::local("the PIN is empty; nothing was changed"));
    }
    if pin.len() > PIN_MAX {
        let why = format!("a PIN has at most {PIN_MAX} bytes; nothing was changed");
        return Err(Failure::Local(why));
    }
    if pin.contains(|c: char| c.is_control()) {
        return Err(Failure::local(
            "the PIN has a line end or another control character inside; nothing was changed",
        ));
    }
    Ok(pin)
}

fn encrypt(pin: &Zeroizing<String>, key: &str) -> Result<Vec<u8>, Failure> {
    let failed =
        |why: String| Failure::Local(format!("systemd-creds cannot encrypt the PIN: {why}"));
    let mut command = Command::new("systemd-creds");
    command
        .args(["encrypt", "--name", credential::NAME, "--with-key", key])
        .args(["-", "-"]);
    let output = child::fed(&mut command, pin.as_bytes()).map_err(|e| failed(e.to_string()))?;
    if output.status.success() && !output.stdout.is_empty() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(failed(if said.is_empty() {
        output.status.to_string()
    } else {
        format!("{said} (run this as root)")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pin: &str) -> Result<String, String> {
        let checked = checked(Zeroizing::new(pin.to_owned()));
        checked
            .map(|pin| pin.to_string())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_line_end_behind_a_pin_does_not_count_and_one_inside_is_refused() {
        assert_eq!(check("1234\n").unwrap(), "1234");
        assert_eq!(check("1234\r\n").unwrap(), "1234");
        for inside in ["\n1234", "12\n34", "12\x0034"] {
            assert!(check(inside).unwrap_err().contains("inside"), "{inside:?}");
        }
    }

    #[test]
    fn an_empty_and_an_endless_pin_are_refused() {
        assert!(check("\n").unwrap_err().contains("empty"));
        assert!(check(&"1".repeat(PIN_MAX)).is_ok());
        assert!(
            check(&"1".repeat(PIN_MAX + 1))
                .unwrap_err()
                .contains("4096")
        );
    }
}
