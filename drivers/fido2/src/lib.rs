//! A FIDO2 security key behind the driver trait: ES256 keys that somebody touches for every signature.
//!
//! ```toml
//! kind = "fido2"
//! label = "approver-1"           # a security key has none: this name is the label
//! serial = "0123456789"          # of its USB descriptor; "none" for a key that reports none
//! state_dir = "/var/lib/sealwright-fido2"
//! [driver]
//! makers = ["yubico.pem"]        # roots of makers whose attestations count, PEM
//! ```
//!
//! **Keys** are `fido2:object=NAME`. A security key remembers none of them: what it gave for a key when it made it, an
//! id and an attestation, is `state_dir/keys/NAME.json`. A lost file is a lost key. The file holds no secret, and works
//! with the security key that made it and with no other.
//!
//! **Signatures** are assertions (schemes `webauthn-p256-sha256` and, with a PIN, `…-uv`), over the message as it is: the
//! library hashes by itself. They are no plain ECDSA signatures, see `docs/fido2.md`.
//!
//! **PIN.** Where a credential is configured, the PIN is shown for every signature of the scheme `…-uv` and for every key
//! that is made. A security key that has counted too many wrong PINs can only be reset, and all its keys are lost; so
//! the last tries are never spent, and a PIN that was refused is not tried again (`login-pending`).
//!
//! **Touch.** Whoever asked is told, and may cancel. The library reads without a limit, so a security key that stops
//! answering ends this process at the request's deadline; the next request starts another one. So does whatever makes
//! the library panic.
//!
//! Nothing is kept open between two requests, so a security key that was taken out and put in again signs at once.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod call;
mod credential;
mod device;
mod fault;
mod pin;
mod register;
mod settings;
mod token;
mod worker;

use sealwright_driver_api::{DriverError, Token, TokenConfig};
use sealwright_driver_host::{Sandbox, Secrets};

/// The kind of URI this driver answers for.
pub const KIND: &str = "fido2";

/// Finds the security key a configuration names.
pub fn open(config: &TokenConfig, secrets: &Secrets) -> Result<Box<dyn Token>, DriverError> {
    let token = token::SecurityKey::open(config, secrets.clone())?;
    Ok(Box::new(token))
}

/// What the driver needs to touch besides its `state_dir`. A security key that is plugged in again gets another node, so
/// this is the folder of all of them; which devices a process may open is for the unit's `DeviceAllow=char-hidraw`.
pub fn sandbox(config: &TokenConfig) -> Result<Sandbox, DriverError> {
    let mut read = config.driver_section::<settings::Settings>()?.makers;
    read.push("/run/udev".into());
    Ok(Sandbox {
        read,
        write: vec!["/dev".into()],
    })
}
