//! Proofs that somebody holds a key: DPoP (RFC 9449).

use serde::Deserialize;

use super::claims::NumericDate;
use super::uri::{NotATarget, Target};
use crate::digest::Sha256Digest;
use crate::jose::{Compact, JoseError, JwkError, PublicJwk, Thumbprint};
use crate::scheme::Scheme;
use crate::sign::Verifier;
use crate::time::Timestamp;

/// Longest proof in characters: several times what a 4096-bit RSA key needs.
pub const PROOF_MAX: usize = 4 << 10;
/// Longest `jti` and `nonce` in bytes.
pub const JTI_MAX: usize = 256;

/// What a proof has to be about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request's method; case counts.
    pub method: &'a str,
    /// Its address, under the name that clients use.
    pub target: &'a Target,
    /// The access token that it comes with; none where one is asked for.
    pub token: Option<&'a str>,
}

/// How far `iat` may be from now, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// In the past.
    pub past_s: u32,
    /// In the future.
    pub future_s: u32,
}

/// Why a proof proves nothing. All of them are `invalid_dpop_proof` (RFC 9449 section 12.2).
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Form, type, algorithm or signature.
    #[error("the DPoP proof: {0}")]
    Jose(#[from] JoseError),
    /// No key in its header.
    #[error("the DPoP proof has no jwk in its header")]
    NoKey,
    /// The key cannot be used.
    #[error("the DPoP proof's jwk: {0}")]
    Key(#[from] JwkError),
    /// `jti` is empty or too long.
    #[error("the DPoP proof's jti is empty or has more than {JTI_MAX} bytes")]
    Jti,
    /// `htm`.
    #[error("the DPoP proof is for method {0:?}")]
    Method(String),
    /// `htu` cannot be read.
    #[error("the DPoP proof's htu: {0}")]
    NoTarget(#[from] NotATarget),
    /// `htu` is another address.
    #[error(
        "the DPoP proof is for another address; htu is the request's without query and fragment"
    )]
    OtherTarget,
    /// `iat` is too old.
    #[error("the DPoP proof was made at {0}, which is too long ago; do the clocks differ?")]
    Stale(Timestamp),
    /// `iat` lies ahead.
    #[error("the DPoP proof was made at {0}, which lies ahead; do the clocks differ?")]
    Early(Timestamp),
    /// `ath` is missing.
    #[error("the DPoP proof has no ath: it is for no access token")]
    NoToken,
    /// `ath` is another token's.
    #[error("the DPoP proof is for another access token")]
    OtherToken,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: NumericDate,
    #[serde(default)]
    ath: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
}

/// A proof that is good by itself. Whether its nonce is one of ours, and whether it was used before, a store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The key that made it.
    pub jkt: Thumbprint,
    /// SHA-256 of its `jti`.
    pub jti_sha256: Sha256Digest,
    /// When it was made.
    pub made: Timestamp,
    /// The nonce in it, at most [`JTI_MAX`] bytes.
    pub nonce: Option<String>,
}

impl Proof {
    /// Checks `text` at `now`: everything in RFC 9449 section 4.3 that needs neither a store nor the token's `cnf`.
    pub fn check(
        text: &str,
        asked: &Asked<'_>,
        algorithms: &[Scheme],
        (now, window): (Timestamp, Window),
        verifier: &dyn Verifier,
    ) -> Result<Self, ProofError> {
        let compact = Compact::parse(text, PROOF_MAX)?;
        compact.require_type("dpop+jwt")?;
        let scheme = compact.scheme(algorithms)?;
        let key = PublicJwk::of(compact.jwk().ok_or(ProofError::NoKey)?)?;
        compact.verify(scheme, &key, verifier)?;
        let claims: Claims = compact.claims()?;
        claims.check_address(asked)?;
        let made = Timestamp::from_unix_millis(claims.iat.0 * 1000);
        let age = now.unix_seconds() - claims.iat.0;
        if age > i64::from(window.past_s) {
            return Err(ProofError::Stale(made));
        }
        if -age > i64::from(window.future_s) {
            return Err(ProofError::Early(made));
        }
        let is_short = |text: &String| text.len() <= JTI_MAX;
        if claims.jti.is_empty() || !is_short(&claims.jti) {
            return Err(ProofError::Jti);
        }
        Ok(Self {
            jkt: key.thumbprint(),
            jti_sha256: Sha256Digest::of(&[claims.jti.as_bytes()]),
            made,
            nonce: claims.nonce.filter(is_short),
        })
    }
}

impl Claims {
    fn check_address(&self, asked: &Asked<'_>) -> Result<(), ProofError> {
        if self.htm != asked.method {
            return Err(ProofError::Method(self.htm.chars().take(32).collect()));
        }
        if Target::parse(&self.htu)? != *asked.target {
            return Err(ProofError::OtherTarget);
        }
        let Some(token) = asked.token else {
            return Ok(());
        };
        let ath = self.ath.as_deref().ok_or(ProofError::NoToken)?;
        let hash = Thumbprint(Sha256Digest::of(&[token.as_bytes()]));
        match ath.parse() == Ok(hash) {
            true => Ok(()),
            false => Err(ProofError::OtherToken),
        }
    }
}
