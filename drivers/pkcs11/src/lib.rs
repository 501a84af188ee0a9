//! PKCS#11 tokens behind the driver trait: one vendor module and one token per process.
//!
//! The way of a signature: [`open`] loads the [`module`], the [`connection`] finds the token by label and
//! serial and logs in once, the [`pool`] hands out sessions and recovers when the token fails, [`find`]
//! resolves the key's [`address`], [`sign`] calls the token. What a return value means stands in one table
//! in [`fault`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(rustdoc::private_intra_doc_links)]

mod address;
mod attest;
mod connection;
mod describe;
mod destroy;
mod fault;
mod find;
mod generate;
mod kind;
mod login;
mod module;
mod pool;
mod settings;
mod sign;
mod spki;
mod token;

use sealwright_driver_api::{DriverError, Token, TokenConfig};
use sealwright_driver_host::Secrets;

pub use settings::Settings;

/// The URI scheme of this driver's keys, and the `kind` of its tokens.
pub const KIND: &str = "pkcs11";

/// Loads the module, finds the configured token and logs in once.
///
/// Called once per process: a second module instance would share all state with the first.
pub fn open(config: &TokenConfig, secrets: &Secrets) -> Result<Box<dyn Token>, DriverError> {
    let settings = Settings::of(config)?;
    let module = module::Module::load(&settings.module)?;
    let connector = connection::Connector::new(module, config, secrets);
    Ok(Box::new(token::Pkcs11Token::open(connector, config)?))
}
