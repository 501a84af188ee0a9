//! The decisions and formats of Sealwright, without files, clocks, randomness or an async runtime.
//!
//! Everything here is a function of its arguments: what a key may do next ([`key`]), whether a request
//! gets a [`permit::Permit`], what an audit record says ([`record`]), how a batch lies on disk
//! ([`journal`]), how the daemon's state follows from its journal ([`state`]), and the public formats
//! (DSSE, in-toto, Sigstore bundles, C2SP logs). The daemon and the drivers put I/O around it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod approval;
pub mod bundle;
pub mod canary;
pub mod certificate;
pub mod clock;
pub mod crl;
pub mod deny;
pub mod digest;
pub mod dsse;
pub mod error;
pub mod evidence;
pub mod expiry;
pub mod identity;
pub mod jose;
pub mod journal;
pub mod json;
pub mod key;
pub mod name;
pub mod permit;
pub mod predicate;
pub mod receipt;
pub mod record;
pub mod revocation;
pub mod rotation;
pub mod scheme;
pub mod shard;
pub mod sign;
pub mod spki;
pub mod state;
pub mod statement;
pub mod succession;
pub mod time;
pub mod tlog;
pub mod token;
pub mod trust;
pub mod uri;
pub mod verdict;
pub mod verify;
pub mod webauthn;
mod x509;
