//! A token's PIN where systemd keeps it: encrypted for this host, and decrypted for the driver's process alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealwright_driver_api::TokenConfig;

use crate::owner::Owner;

/// Where the drivers' units find it.
pub(crate) const STORE: &str = "/etc/credstore.encrypted";
/// Its name inside the unit, which is also part of what is encrypted: another credential cannot stand in for it.
pub(crate) const NAME: &str = "pin";

/// The file of one token, as in `LoadCredentialEncrypted=` of the drivers' units.
pub(crate) fn file(store: &Path, token: &str) -> PathBuf {
    store.join(format!("sealwright-{token}.pin"))
}

/// How to run `program` for `token` with its encrypted PIN; `None` where it has none, or not by systemd.
pub(crate) fn as_unit(token: &TokenConfig, user: Option<Owner>, program: &Path) -> Option<Command> {
    let is_booted = Path::new("/run/systemd/system").is_dir();
    let has_credential = file(Path::new(STORE), &token.name).exists();
    if token.credential.is_some() || !is_booted || !has_credential {
        return None;
    }
    let mut command = Command::new("systemd-run");
    command.args(["--quiet", "--collect", "--pipe", "--wait"]);
    for property in properties(token, user) {
        command.arg("--property").arg(property);
    }
    command.arg("--").arg(program);
    Some(command)
}

/// What the driver's own unit has, as far as a command that a person runs needs it.
fn properties(token: &TokenConfig, user: Option<Owner>) -> Vec<String> {
    let TokenConfig { name, kind, .. } = token;
    let (user, group) = match user {
        Some(Owner { uid, gid }) => (uid.to_string(), gid.to_string()),
        None => (format!("sealwright-{kind}"), format!("sealwright-{kind}")),
    };
    let mut properties = vec![
        format!("User={user}"),
        format!("Group={group}"),
        format!("LoadCredentialEncrypted={NAME}:sealwright-{name}.pin"),
        format!("EnvironmentFile=-/etc/sealwright/tokens/{name}.env"),
        "UMask=0077".to_owned(),
    ];
    // The unit makes the folder at its first start, and this may come before that.
    if let Ok(folder) = token.state_dir.strip_prefix("/var/lib") {
        properties.push(format!("StateDirectory={}", folder.display()));
        properties.push("StateDirectoryMode=0700".to_owned());
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_as_the_drivers_user_with_its_credential_and_folder() {
        let text = "kind = 'tpm2'\nsocket = '/s'\nlabel = 'a'\nserial = 'b'\nstate_dir = '/var/lib/sealwright-tokens/tpm'\n";
        let mut token: TokenConfig = toml::from_str(text).unwrap();
        token.name = "tpm".to_owned();
        let said = properties(&token, None).join("\n");
        for line in [
            "User=sealwright-tpm2",
            "LoadCredentialEncrypted=pin:sealwright-tpm.pin",
            "StateDirectory=sealwright-tokens/tpm",
        ] {
            assert!(said.lines().any(|have| have == line), "{line}: {said}");
        }
        let owner = Some(Owner { uid: 7, gid: 8 });
        assert!(properties(&token, owner).contains(&"User=7".to_owned()));
    }
}
