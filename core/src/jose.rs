//! JSON Web Signatures and Keys (RFC 7515, 7517, 7518, 7638, 8037), as far as access tokens and proofs of possession
//! need them: the compact form with one signature by an asymmetric key.
//!
//! What is not understood is refused: a `crit` header, an algorithm beyond the caller's list, a key that says it is
//! for something else. `none` and the symmetric algorithms have no name here at all.

mod algorithm;
mod compact;
mod jwk;
mod set;
mod thumbprint;

use crate::json::JsonError;

pub use algorithm::{UnknownAlgorithm, name_of, scheme_of};
pub use compact::Compact;
pub use jwk::{JwkError, PublicJwk};
pub use set::{JwkSet, JwkSetError, KEYS_MAX, SET_MAX};
pub use thumbprint::{NotAThumbprint, Thumbprint};

/// Why a token or proof is no acceptable JSON Web Signature.
#[derive(Debug, thiserror::Error)]
pub enum JoseError {
    /// More text than is read.
    #[error("it has more than {0} characters")]
    TooLong(usize),
    /// Not `header.payload.signature`.
    #[error("it is not three parts of base64url with a dot between them (RFC 7515 section 7.1)")]
    NotCompact,
    /// Padding, another alphabet, or bits that say nothing and are not zero.
    #[error("its {0} is not base64url without padding (RFC 7515 section 2)")]
    Base64(&'static str),
    /// The header or the payload is not the JSON that it has to be.
    #[error("its {part} is not acceptable: {source}")]
    Json {
        /// Which of the two.
        part: &'static str,
        /// What is wrong.
        source: JsonError,
    },
    /// An extension that must be understood; none is.
    #[error("its header has crit: no extension of JSON Web Signature is known here")]
    Critical,
    /// A media type that belongs to something else.
    #[error("its header says typ {got:?} where {want:?} has to stand")]
    Type {
        /// What stands there; empty where nothing does.
        got: String,
        /// What has to.
        want: &'static str,
    },
    /// No algorithm that is taken.
    #[error("its algorithm {0:?} is not accepted here")]
    Algorithm(String),
    /// The key is not for this algorithm.
    #[error("its algorithm does not fit the key")]
    OtherAlgorithm,
    /// The set has no such key.
    #[error("the issuer has no key with the kid of its header; were the issuer's keys changed?")]
    UnknownKey,
    /// No `kid`, and more than one key would fit.
    #[error("its header names no kid, and the issuer has not exactly one key for its algorithm")]
    NoKeyNamed,
    /// Not by this key over these bytes.
    #[error("its signature does not verify")]
    Signature,
}
