//! The other side: a proof to be signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::digest::Sha256Digest;
use crate::jose::{Thumbprint, name_of};
use crate::json::JsonError;
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::time::Timestamp;
use crate::trust::jwk::{JwkError, Material};
use crate::verify::PublicKey;

/// What a proof says (RFC 9449 section 4.2).
#[derive(Debug, Clone, Copy)]
pub struct ProofContents<'a> {
    /// `htm`.
    pub method: &'a str,
    /// `htu`, without query and fragment.
    pub target: &'a str,
    /// `iat`.
    pub made: Timestamp,
    /// `jti`: never the same again.
    pub jti: &'a str,
    /// The access token that it goes with.
    pub token: Option<&'a str>,
    /// The server's newest nonce.
    pub nonce: Option<&'a str>,
}

/// A proof without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedProof(String);

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
    jwk: Material,
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<Thumbprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl UnsignedProof {
    /// A proof that the key in `spki` will sign under `scheme`.
    ///
    /// # Errors
    /// [`JwkError`]: the bytes are no usable public key.
    pub fn new(
        spki: &Spki,
        scheme: Scheme,
        contents: &ProofContents<'_>,
    ) -> Result<Self, JwkError> {
        let header = Header {
            typ: "dpop+jwt",
            alg: name_of(scheme),
            jwk: Material::of(&PublicKey::from_spki_der(spki.der())?)?,
        };
        let token = contents.token.map(str::as_bytes);
        let claims = Claims {
            jti: contents.jti,
            htm: contents.method,
            htu: contents.target,
            iat: contents.made.unix_seconds(),
            ath: token.map(|token| Thumbprint(Sha256Digest::of(&[token]))),
            nonce: contents.nonce,
        };
        Ok(Self(format!("{}.{}", part(&header)?, part(&claims)?)))
    }

    /// The bytes that are signed.
    pub fn message(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The value of the `DPoP` header, with a raw signature (ECDSA: r‖s).
    pub fn signed(self, signature: &[u8]) -> String {
        format!("{}.{}", self.0, URL_SAFE_NO_PAD.encode(signature))
    }
}

fn part(value: &impl Serialize) -> Result<String, JwkError> {
    let json = serde_json::to_vec(value).map_err(JsonError::Form)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
