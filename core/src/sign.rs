//! From permit to verified signature: the values that pass between the stages that use a key.
//!
//! A [`ToBeSigned`] is built only by its purpose's constructor, so there is no way to have a raw digest
//! signed; a [`VerifiedSignature`] exists only after the enrolled public key accepted it.

use serde::{Deserialize, Serialize};

use crate::crl::UnsignedCrl;
use crate::digest::Sha256Digest;
use crate::dsse::Pae;
use crate::key::Purpose;
use crate::permit::Permit;
use crate::scheme::{HashAlg, Scheme};
use crate::tlog::checkpoint::Checkpoint;
use crate::uri::KeyUri;
use crate::webauthn::{Assertion, AssertionError, Demand, RP_ID};

/// What reaches the device: a digest under the scheme's hash, or the whole message (Ed25519).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInput {
    /// A finished digest.
    Digest {
        /// Which hash made it.
        hash: HashAlg,
        /// Its bytes, exactly `hash.len()`.
        bytes: Vec<u8>,
    },
    /// The message itself.
    Message(Vec<u8>),
}

impl SignInput {
    /// Prepares `parts`, read as one message, for `scheme`.
    pub fn of(scheme: Scheme, parts: &[&[u8]]) -> Self {
        match scheme.prehash() {
            Some(hash) => Self::Digest {
                hash,
                bytes: hash.digest(parts),
            },
            None => Self::Message(parts.concat()),
        }
    }
}

/// What a device answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signature {
    /// ECDSA: r‖s at fixed width; Ed25519: 64 bytes; RSA: modulus length.
    Raw(Vec<u8>),
    /// A FIDO2 assertion: the key signed `authenticator_data ‖ client_data_hash`.
    WebAuthn(Assertion),
}

/// The digest that was permitted is not the digest of the message at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// Another message.
    #[error("the permit is for another message")]
    OtherMessage,
    /// A key of another purpose.
    #[error("the permit is for a key of another purpose")]
    OtherPurpose,
}

/// A permitted message, ready for the device. Owns the permit: it cannot be spent twice.
#[must_use = "a message that was permitted is meant to be signed"]
#[derive(Debug)]
pub struct ToBeSigned {
    permit: Permit,
    input: SignInput,
}

impl ToBeSigned {
    /// Purpose `dsse`: the pre-authentication encoding of a payload.
    ///
    /// `pae_sha256` must be SHA-256 over the same encoding; it spares a second pass over a large payload.
    pub fn dsse(
        permit: Permit,
        pae: &Pae<'_>,
        pae_sha256: Sha256Digest,
    ) -> Result<Self, NotPermitted> {
        if permit.purpose() != Purpose::Dsse {
            return Err(NotPermitted::OtherPurpose);
        }
        if permit.message_sha256() != pae_sha256 {
            return Err(NotPermitted::OtherMessage);
        }
        let input = match permit.scheme().prehash() {
            Some(HashAlg::Sha256) => SignInput::Digest {
                hash: HashAlg::Sha256,
                bytes: pae_sha256.0.to_vec(),
            },
            _ => SignInput::of(permit.scheme(), &[&pae.prefix(), pae.payload]),
        };
        Ok(Self { permit, input })
    }

    /// Purpose `x509`: a certificate revocation list that was made from the state.
    pub fn crl(permit: Permit, crl: &UnsignedCrl) -> Result<Self, NotPermitted> {
        if permit.purpose() != Purpose::X509 {
            return Err(NotPermitted::OtherPurpose);
        }
        if permit.message_sha256() != crl.sha256() {
            return Err(NotPermitted::OtherMessage);
        }
        let input = SignInput::of(permit.scheme(), &[crl.der()]);
        Ok(Self { permit, input })
    }

    /// The permit inside.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What the device signs.
    pub fn input(&self) -> &SignInput {
        &self.input
    }

    /// Attaches the device's answer, which nobody believes yet.
    pub fn answered(self, signature: Signature) -> Unverified {
        Unverified {
            to_be_signed: self,
            signature,
        }
    }
}

/// A checkpoint body for the log key: the one thing signed without permit and record.
///
/// The constructor takes a parsed [`Checkpoint`] of our own origin, so nothing else can pass for it.
#[derive(Debug)]
pub struct CheckpointToBeSigned {
    body: String,
    uri: KeyUri,
    scheme: Scheme,
}

impl CheckpointToBeSigned {
    /// `None` where the checkpoint is of another origin.
    pub fn new(origin: &str, checkpoint: &Checkpoint, uri: KeyUri, scheme: Scheme) -> Option<Self> {
        (checkpoint.origin() == origin).then(|| Self {
            body: checkpoint.to_string(),
            uri,
            scheme,
        })
    }

    /// The note text that is signed.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The log key's address.
    pub fn uri(&self) -> &KeyUri {
        &self.uri
    }

    /// The log key's scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What the device signs.
    pub fn input(&self) -> SignInput {
        SignInput::of(self.scheme, &[self.body.as_bytes()])
    }
}

/// Verifies what a device returned. The daemon brings a fast one, [`crate::verify`] is the second.
pub trait Verifier: Send + Sync {
    /// Whether `signature` (raw form) by the key in `spki_der` covers `input`.
    fn verifies(
        &self,
        spki_der: &[u8],
        scheme: Scheme,
        input: &SignInput,
        signature: &[u8],
    ) -> bool;
}

/// A signature from a device, not yet checked.
#[must_use = "an unverified signature is worth nothing"]
#[derive(Debug)]
pub struct Unverified {
    to_be_signed: ToBeSigned,
    signature: Signature,
}

/// The device's answer is no signature of the enrolled key over the permitted message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Wrong number of bytes for the scheme.
    #[error("the token returned a signature of {got} bytes, the scheme has {want}")]
    Length {
        /// Bytes returned.
        got: usize,
        /// Bytes of the scheme.
        want: usize,
    },
    /// A WebAuthn assertion where a plain signature is needed.
    #[error("the token returned a WebAuthn assertion, which no DSSE verifier accepts")]
    WebAuthn,
    /// Something else where the scheme has an assertion.
    #[error("the token returned no WebAuthn assertion, which is all that this scheme has")]
    NoAssertion,
    /// An assertion that does not say what the scheme demands.
    #[error("the token returned an assertion of no use: {0}")]
    Assertion(#[from] AssertionError),
    /// It does not verify.
    #[error("the token returned a signature that the enrolled public key does not accept")]
    DoesNotVerify,
}

impl Unverified {
    /// Accepts the signature only if the enrolled key does; hands back the permit otherwise, for the record.
    pub fn verify(
        self,
        verifier: &dyn Verifier,
    ) -> Result<VerifiedSignature, (BadSignature, Permit)> {
        let ToBeSigned { permit, input } = self.to_be_signed;
        let scheme = permit.scheme();
        let encoded = match (self.signature, scheme.assertion()) {
            (Signature::Raw(raw), None) => verify_raw(verifier, &permit, &input, raw),
            (Signature::WebAuthn(assertion), Some(demand)) => {
                verify_assertion(verifier, &permit, &input, (&assertion, demand))
            }
            (Signature::Raw(_), Some(_)) => Err(BadSignature::NoAssertion),
            (Signature::WebAuthn(_), None) => Err(BadSignature::WebAuthn),
        };
        match encoded {
            Ok(encoded) => Ok(VerifiedSignature { permit, encoded }),
            Err(bad) => Err((bad, permit)),
        }
    }
}

fn verify_raw(
    verifier: &dyn Verifier,
    permit: &Permit,
    input: &SignInput,
    raw: Vec<u8>,
) -> Result<Vec<u8>, BadSignature> {
    let scheme = permit.scheme();
    let (got, want) = (raw.len(), scheme.raw_signature_len().unwrap_or(raw.len()));
    if got != want {
        return Err(BadSignature::Length { got, want });
    }
    if !verifier.verifies(permit.spki().der(), scheme, input, &raw) {
        return Err(BadSignature::DoesNotVerify);
    }
    crate::verify::encode_raw(scheme, raw).map_err(|_| BadSignature::DoesNotVerify)
}

/// The six steps of [`crate::webauthn`].
fn verify_assertion(
    verifier: &dyn Verifier,
    permit: &Permit,
    input: &SignInput,
    (assertion, demand): (&Assertion, Demand),
) -> Result<Vec<u8>, BadSignature> {
    let SignInput::Message(message) = input else {
        return Err(BadSignature::NoAssertion);
    };
    assertion.check(RP_ID, demand)?;
    let signed = SignInput::Digest {
        hash: HashAlg::Sha256,
        bytes: assertion.signed_sha256(&[message]).0.to_vec(),
    };
    let inner = Scheme::EcdsaP256Sha256;
    let raw = crate::verify::der_to_raw(inner, &assertion.signature);
    let raw = raw.map_err(|_| BadSignature::DoesNotVerify)?;
    if !verifier.verifies(permit.spki().der(), inner, &signed, &raw) {
        return Err(BadSignature::DoesNotVerify);
    }
    Ok(assertion.to_bytes()?)
}

/// A signature that the enrolled key accepted, in the encoding envelopes carry (ECDSA: DER).
#[must_use = "a verified signature is meant to be sealed"]
#[derive(Debug)]
pub struct VerifiedSignature {
    permit: Permit,
    encoded: Vec<u8>,
}

impl VerifiedSignature {
    /// The permit that led here.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The bytes that go into the envelope.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}
