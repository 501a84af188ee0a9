//! The PIV application of a YubiKey behind the driver trait: P-256, P-384 and RSA keys in its slots.
//!
//! ```toml
//! kind = "piv"
//! label = "release-key"          # a YubiKey has none: this name is the label
//! serial = "12345678"            # printed on it, and `ykman list` tells it
//! state_dir = "/var/lib/sealwright-piv"
//! [driver]
//! pin_policy = "always"          # of keys made here: "always" (default), "once" or "never"
//! touch_policy = "never"         # of keys made here: "never" (default), "always" or "cached"
//! management_key = "management"  # file of mode 0600 with hex digits; without it the factory's key is tried
//! maker_chain = "makers.pem"     # what leads from the card's certificate to its maker's, for evidence
//! ```
//!
//! **Keys** are `piv:slot=9c`: 9a, 9c, 9d, 9e, or 82 to 95. A slot holds one key, and making another one there would
//! destroy it, so only an empty slot is filled. Firmware before 5.3 cannot say whether a slot is empty: there this
//! driver makes no keys, and describes one only by the certificate in its slot.
//!
//! **PIN.** It is shown again for every signature and forgotten at once after, because pcscd lets every program of the
//! host speak to the card, and a PIN that was shown to the card is shown to all of them. Policy `always` makes the card
//! itself insist on that. Where the card counts one try before it locks, the driver does not spend it.
//!
//! **Touch.** A key with a touch policy holds the whole card until it is touched, and cannot be cancelled: the host ends
//! the process at the request's deadline.
//!
//! Nothing is kept open between two requests, so a card that was taken out and put in again signs at once.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod attest;
mod card;
mod certificate;
mod fault;
mod kind;
mod management;
mod pkcs1;
mod settings;
mod slot;
mod token;
mod worker;

use std::path::PathBuf;

use sealwright_driver_api::{DriverError, Token, TokenConfig};
use sealwright_driver_host::{Sandbox, Secrets};

pub use address::KIND;

/// Finds the card a configuration names.
pub fn open(config: &TokenConfig, secrets: &Secrets) -> Result<Box<dyn Token>, DriverError> {
    Ok(Box::new(token::YubiKeyToken::open(
        config,
        secrets.clone(),
    )?))
}

/// What the driver needs to touch besides its `state_dir`: the files that its configuration names. pcscd is reached by a
/// socket.
pub fn sandbox(config: &TokenConfig) -> Result<Sandbox, DriverError> {
    let settings = config.driver_section::<settings::Settings>()?;
    Ok(Sandbox {
        read: settings.files().map(PathBuf::from).collect(),
        ..Sandbox::default()
    })
}
