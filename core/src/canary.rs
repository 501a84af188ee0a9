//! The canary: a signature that shows that a token still signs, by a key that signs nothing else.
//!
//! It never leaves the daemon, so it has neither permit nor record. Its message is made here from the key's own name, and begins
//! like no envelope, note, certificate or token does: nobody can have it stand for anything.

use crate::key::{KeyState, KeyVersion, Purpose};
use crate::name::KeyVersionId;
use crate::scheme::Scheme;
use crate::sign::{BadSignature, SignInput, Signature, Verifier};
use crate::spki::Spki;
use crate::time::Timestamp;
use crate::uri::KeyUri;

/// What a canary key signs, ready for its device.
#[derive(Debug)]
pub struct CanaryToBeSigned {
    message: String,
    token: String,
    uri: KeyUri,
    scheme: Scheme,
    spki: Spki,
}

impl CanaryToBeSigned {
    /// `None` where the version is no canary's, or not the one that signs.
    pub fn new(
        origin: &str,
        id: &KeyVersionId,
        version: &KeyVersion,
        now: Timestamp,
    ) -> Option<Self> {
        let enrolment = &version.enrolment;
        let is_canary = enrolment.purpose == Purpose::Canary && version.state == KeyState::Active;
        is_canary.then(|| Self {
            message: format!("sealwright-canary/v1\n{origin}\n{id}\n{now}\n"),
            token: enrolment.token.clone(),
            uri: enrolment.uri.clone(),
            scheme: enrolment.scheme,
            spki: enrolment.spki.clone(),
        })
    }

    /// The token that holds the key.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key's address.
    pub fn uri(&self) -> &KeyUri {
        &self.uri
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What the device signs.
    pub fn input(&self) -> SignInput {
        SignInput::of(self.scheme, &[self.message.as_bytes()])
    }

    /// Whether the device did: the signature is checked and dropped.
    pub fn check(
        &self,
        verifier: &dyn Verifier,
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let Signature::Raw(raw) = signature else {
            return Err(BadSignature::WebAuthn);
        };
        let (spki, scheme) = (self.spki.der(), self.scheme);
        if verifier.verifies(spki, scheme, &self.input(), raw) {
            Ok(())
        } else {
            Err(BadSignature::DoesNotVerify)
        }
    }
}
