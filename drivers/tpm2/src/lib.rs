//! TPM 2.0 behind the driver trait: keys wrapped by a pinned storage root key, one file each.
//!
//! ```toml
//! kind = "tpm2"
//! label = "host-tpm"                     # a TPM has none: this name is the label
//! serial = "9c1a…"                       # SHA-256 of the storage root key's TPMT_PUBLIC, 64 hex digits
//! state_dir = "/var/lib/sealwright-tpm2" # keys lie in its folder `keys`
//! [driver]
//! tcti = "device:/dev/tpmrm0"            # or "swtpm:host=127.0.0.1,port=2321"
//! session = "hmac"                       # "password" for benchmarks and development only
//! ```
//!
//! **Serial.** The storage root key is the ECC P-256 primary that the standard storage template makes in the
//! owner hierarchy. Its TPM name is `000b` and the serial, so an operator can ask for it with tools of others:
//! `tpm2_createprimary -C o -G ecc -a 'restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'
//! -c srk.ctx && tpm2_readpublic -c srk.ctx`. The owner hierarchy has to be without a password. Another TPM, or
//! the same one after TPM2_Clear, has another serial and is refused.
//!
//! **Keys** are `state_dir/keys/<object>.pem` (TSS2 PRIVATE KEY), made in the TPM and usable in no other. They
//! are outside its dictionary-attack protection, whose lock would be TPM-wide. So a wrong credential is an
//! error but locks nothing, and the driver takes the credential without a login mark; in return the credential
//! has to be long and random. Keys *under* that protection are refused.
//!
//! **Sharing.** Behind `/dev/tpmrm0` the kernel keeps processes apart. An swtpm has nobody to do that: this
//! driver has it for itself, and flushes every slot when it connects.
//!
//! libtss2 prints to stderr by itself; units and `sealwright-run` start this driver with the environment
//! `TSS2_LOG=all+NONE`. What matters is in the driver's own errors.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attest;
mod auth;
mod blob;
mod capability;
mod connect;
mod device;
mod fault;
mod loaded;
mod public;
mod settings;
mod store;
mod sweep;
mod template;
mod token;
mod worker;

use sealwright_driver_api::{DriverError, Token, TokenConfig};
use sealwright_driver_host::{Sandbox, Secrets};
use zeroize::Zeroizing;

/// The kind of URI this driver answers for.
pub const KIND: &str = "tpm2";

/// Connects to the TPM a configuration names and makes sure that it is the pinned one.
pub fn open(config: &TokenConfig, secrets: &Secrets) -> Result<Box<dyn Token>, DriverError> {
    // Not a login: nothing counts wrong tries of a key outside the dictionary-attack protection.
    let secret = secrets.read()?;
    let credential = auth::Credential::new(Zeroizing::new(secret.as_bytes().to_vec()))?;
    Ok(Box::new(token::Tpm::open(config, credential)?))
}

/// What the driver needs to touch besides its `state_dir`: the device node.
pub fn sandbox(config: &TokenConfig) -> Result<Sandbox, DriverError> {
    let write = match config.driver_section::<settings::Settings>()?.tcti {
        settings::Tcti::Device(path) => vec![path],
        settings::Tcti::Swtpm { .. } => Vec::new(),
    };
    Ok(Sandbox {
        write,
        ..Sandbox::default()
    })
}
