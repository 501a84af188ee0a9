//! What a driver is: the [`KeyDriver`] trait that each device implements, and the [`wire`] it is spoken over.
//!
//! A driver runs in a process of its own (`sealwright-driver-host` is its loop) and is not trusted: it sees
//! only what is to be signed, and every signature it returns is verified against the enrolled public key.
//! The trait is synchronous and small; queues, deadlines and retries are the daemon's. How devices differ is
//! data in the [`Descriptor`], never a question of their kind.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
pub mod conformance;
mod context;
mod error;
mod task;
pub mod wire;

pub use config::{TokenConfig, TokenConfigError};
pub use context::{Progress, ProgressSink, SignContext};
pub use error::{DriverError, ErrorClass};
pub use sealwright_core::digest::Sha256Digest;
pub use sealwright_core::evidence::{
    Bytes, Challenge, Claims, Exclusive, Nonce, PivStatement, Statement, TokenIdentity,
    TpmStatement,
};
pub use sealwright_core::key::EvidenceGrade;
pub use sealwright_core::scheme::{HashAlg, Scheme};
pub use sealwright_core::sign::{SignInput, Signature};
pub use sealwright_core::uri::KeyUri;
pub use task::Task;

use serde::{Deserialize, Serialize};

/// Longest message a key takes whole where the token's configuration says nothing: 1 MiB.
pub const DEFAULT_MAX_MESSAGE: u32 = 1 << 20;

/// What is true of a token as long as its driver process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The URI scheme of its keys: `pkcs11`, `tpm2`, …
    pub kind: String,
    /// The token's label; for a TPM the name in its configuration.
    pub label: String,
    /// The token's serial number; for a TPM the pinned storage root key's SHA-256 in hex.
    pub serial: String,
    /// Who made it, as it says itself.
    pub manufacturer: String,
    /// Its model, as it says itself.
    pub model: String,
    /// How many requests it works on at once.
    pub sessions: u16,
    /// The schemes it signs.
    pub schemes: Vec<Scheme>,
    /// Longest message for schemes without a prehash, in bytes.
    pub max_message: u32,
    /// Whether a person may have to touch it.
    pub needs_touch: bool,
    /// Whether it makes keys.
    pub can_generate: bool,
    /// The best evidence of a key's origin that it gives.
    pub evidence: EvidenceGrade,
    /// Whether it gives evidence for an asker's nonce.
    pub can_attest: bool,
    /// Whether it destroys keys.
    pub can_destroy: bool,
}

/// What a driver says of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDescription {
    /// The key's address; may say more than the one that was asked for.
    pub uri: KeyUri,
    /// SubjectPublicKeyInfo DER. Enrolment pins it after an operator confirmed its fingerprint.
    pub spki_der: Vec<u8>,
    /// The schemes this key can sign with, the preferred one first.
    pub schemes: Vec<Scheme>,
    /// Grade of the evidence.
    pub evidence: EvidenceGrade,
    /// The attributes the grade rests on, for people: `("sensitive", "true")`.
    pub claims: Vec<(String, String)>,
}

/// A request to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignRequest {
    /// The key.
    pub key: KeyUri,
    /// The scheme, one that the key's description lists.
    pub scheme: Scheme,
    /// What to sign.
    pub input: SignInput,
}

impl SignRequest {
    /// Refuses an input that does not fit the scheme. Some tokens sign a digest of any length, so every
    /// driver calls this before its device.
    pub fn check(&self, max_message: u32) -> Result<(), DriverError> {
        match (&self.input, self.scheme.prehash()) {
            (SignInput::Digest { hash, bytes }, Some(want))
                if *hash == want && bytes.len() == want.len() =>
            {
                Ok(())
            }
            (SignInput::Message(message), None) if message.len() <= max_message as usize => Ok(()),
            (SignInput::Message(message), None) => Err(DriverError::bad_request(format!(
                "the message has {} bytes, this token takes {max_message}",
                message.len()
            ))),
            _ => Err(DriverError::bad_request(format!(
                "the input does not fit scheme {}",
                self.scheme
            ))),
        }
    }
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySpec {
    /// Where it shall be: the address must match no key yet.
    pub uri: KeyUri,
    /// What it shall sign with.
    pub scheme: Scheme,
    /// Modulus length for RSA schemes (2048, 3072 or 4096); ignored by others.
    pub rsa_bits: u16,
}

/// A device's answer to a question for evidence. Believed by nobody: the daemon's own verifier judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawEvidence {
    /// The nonce it answers.
    pub nonce: Nonce,
    /// The token, as it describes itself.
    pub token: TokenIdentity,
    /// The key's SubjectPublicKeyInfo DER.
    pub spki_der: Vec<u8>,
    /// What is said of the key.
    pub statement: Statement,
}

/// A worker of one token: lives on one thread, works on one request at a time.
///
/// Every method may block on the device. It must return soon after `ctx.deadline()`; where it cannot, the
/// host exits the process, so a driver never needs a timer of its own.
pub trait KeyDriver {
    /// Asks the device itself (not a cached session) whether it works. Needs no login.
    fn health(&mut self) -> Result<(), DriverError>;

    /// Whether a PIN could be shown to the device and would not be its last try, as far as that can be told without
    /// showing one. For people who look after the device.
    fn may_show_pin(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    /// Finds exactly one key and describes it. No match is [`ErrorClass::KeyMissing`], several are
    /// [`ErrorClass::KeyAmbiguous`].
    fn describe(&mut self, key: &KeyUri) -> Result<KeyDescription, DriverError>;

    /// Signs. The request has passed [`SignRequest::check`]. ECDSA comes back as r‖s at fixed width.
    fn sign(
        &mut self,
        request: &SignRequest,
        ctx: &SignContext<'_>,
    ) -> Result<Signature, DriverError>;

    /// The optional ability to make keys.
    fn generator(&mut self) -> Option<&mut dyn Generate> {
        None
    }

    /// The optional ability to keep certificates.
    fn certificates(&mut self) -> Option<&mut dyn Certificates> {
        None
    }

    /// The optional ability to destroy keys.
    fn destroyer(&mut self) -> Option<&mut dyn Destroy> {
        None
    }

    /// The optional ability to give evidence of a key's origin.
    fn attester(&mut self) -> Option<&mut dyn Attest> {
        None
    }
}

/// Destroys keys. Apart from [`KeyDriver`], because not every device can.
pub trait Destroy {
    /// Destroys exactly one key, if the SHA-256 of its SubjectPublicKeyInfo is this; another key at the address is
    /// [`ErrorClass::BadRequest`] and stays. Returns once the key cannot come back by a restart of the device.
    fn destroy(&mut self, key: &KeyUri, spki_sha256: &Sha256Digest) -> Result<(), DriverError>;
}

/// Gives evidence. Apart from [`KeyDriver`], because not every device can.
pub trait Attest {
    /// What the device says of exactly one key, for this nonce. Changes nothing on the device.
    fn attest(&mut self, key: &KeyUri, nonce: &Nonce) -> Result<RawEvidence, DriverError>;

    /// The answer to a challenge that the evidence calls for; see [`sealwright_core::evidence::Document::activation`].
    fn activate(&mut self, _: &Challenge) -> Result<Vec<u8>, DriverError> {
        let detail = "this token's evidence calls for no challenge";
        Err(DriverError::unsupported(detail))
    }
}

/// Keeps a certificate beside a key, for programs that find keys by their certificates. Apart from [`KeyDriver`], because
/// not every device can. The daemon never asks for it: its certificates are in its log.
pub trait Certificates {
    /// The certificate beside exactly one key, X.509 DER. Where there is none: [`ErrorClass::KeyMissing`].
    fn certificate(&mut self, key: &KeyUri) -> Result<Vec<u8>, DriverError>;

    /// Puts a certificate for this key there, in the place of an older one.
    fn install_certificate(&mut self, key: &KeyUri, der: &[u8]) -> Result<(), DriverError>;
}

/// Makes keys. Apart from [`KeyDriver`], because not every device can.
pub trait Generate {
    /// Makes a non-exportable signing key; an address that matches a key already is refused.
    fn generate(
        &mut self,
        spec: &KeySpec,
        ctx: &SignContext<'_>,
    ) -> Result<KeyDescription, DriverError>;
}

/// One token: opened once per process, gives a worker per session.
pub trait Token: Send + Sync {
    /// What is true of the token.
    fn descriptor(&self) -> &Descriptor;

    /// Opens a session for a worker; called on the worker's own thread.
    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError>;
}
