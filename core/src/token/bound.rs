//! What binds a token to whoever shows it.

use serde::{Deserialize, Serialize};

use super::access::AccessToken;
use super::proof::Proof;
use crate::digest::Sha256Digest;
use crate::jose::Thumbprint;
use crate::name::Tenant;

/// What a record says of a token; never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `client_id`.
    pub client_id: String,
    /// `cnf.jkt`: the key whose proofs make it good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<Thumbprint>,
    /// `cnf.x5t#S256`: the certificate that makes it good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<Thumbprint>,
}

/// How a token was shown: the scheme of the `Authorization` header, and what came along.
#[derive(Debug, Clone, Copy)]
pub enum Presented<'a> {
    /// `Bearer`: nothing but the connection speaks for the caller.
    Bearer,
    /// `DPoP`, with a proof that was checked.
    Dpop(&'a Proof),
}

/// Why a token that counts does not count in these hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// No `cnf` that is known: whoever steals it has it.
    #[error(
        "the access token is bound to no key and no certificate; have it issued with cnf.jkt or cnf.x5t#S256"
    )]
    Unbound,
    /// RFC 9449 section 7.2.
    #[error(
        "the access token is bound to a DPoP key and was sent as Bearer; send it as DPoP, with a proof"
    )]
    SentAsBearer,
    /// A proof that the token does not ask for proves nothing.
    #[error("the access token is not bound to a DPoP key; send it as Bearer")]
    SentAsDpop,
    /// The proof is by another key.
    #[error("the proof is by another key than the access token is bound to")]
    OtherKey,
    /// The connection's certificate is another one.
    #[error("the access token is bound to another client certificate than this connection's")]
    OtherCertificate,
    /// The caller is of another tenant than the token.
    #[error("the access token is of another tenant than the caller")]
    OtherTenant,
}

/// A token in the hands of whom it was issued to.
///
/// Made by [`AccessToken::bind`] alone, and there is no other way to change one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundToken(AccessToken);

impl AccessToken {
    /// Compares what the token is bound to with what was shown: the proof, and the SHA-256 of the connection's
    /// certificate. A token that names both needs both.
    pub fn bind(
        self,
        presented: Presented<'_>,
        certificate_sha256: Sha256Digest,
        tenant: &Tenant,
    ) -> Result<BoundToken, BindError> {
        let (jkt, x5t) = (self.facts.jkt, self.facts.x5t_s256);
        match (jkt, presented) {
            (None, _) if x5t.is_none() => return Err(BindError::Unbound),
            (Some(_), Presented::Bearer) => return Err(BindError::SentAsBearer),
            (None, Presented::Dpop(_)) => return Err(BindError::SentAsDpop),
            (Some(jkt), Presented::Dpop(proof)) if proof.jkt != jkt => {
                return Err(BindError::OtherKey);
            }
            _ => {}
        }
        if x5t.is_some_and(|x5t| x5t.0 != certificate_sha256) {
            return Err(BindError::OtherCertificate);
        }
        if self.tenant != *tenant {
            return Err(BindError::OtherTenant);
        }
        Ok(BoundToken(self))
    }
}

impl BoundToken {
    /// Who it is of, for a record.
    pub fn facts(&self) -> &TokenFacts {
        &self.0.facts
    }

    /// What it was issued for, sorted.
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// Whether a proof by its key was shown.
    pub fn is_dpop_bound(&self) -> bool {
        self.0.facts.jkt.is_some()
    }

    /// Whether it is bound to the connection's certificate.
    pub fn is_certificate_bound(&self) -> bool {
        self.0.facts.x5t_s256.is_some()
    }
}
