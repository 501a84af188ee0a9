//! A complete request, as a worker gets it.

use crate::wire::Answer;
use crate::{
    Attest, Challenge, DriverError, KeyDriver, KeySpec, KeyUri, Nonce, Sha256Digest, SignContext,
    SignRequest,
};

/// What a device is asked for, with everything it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Is the device there?
    Health,
    /// Find and describe one key.
    Describe(KeyUri),
    /// Sign.
    Sign(SignRequest),
    /// Make a key.
    Generate(KeySpec),
    /// Give evidence of a key's origin, for a nonce.
    Attest(KeyUri, Nonce),
    /// Destroy the key with this fingerprint.
    Destroy(KeyUri, Sha256Digest),
    /// Answer a challenge that evidence calls for.
    Activate(Challenge),
}

impl Task {
    /// Has `driver` do it.
    pub fn perform(
        &self,
        driver: &mut dyn KeyDriver,
        ctx: &SignContext<'_>,
    ) -> Result<Answer, DriverError> {
        match self {
            Self::Health => driver.health().map(|()| Answer::Healthy),
            Self::Describe(key) => driver.describe(key).map(Answer::Key),
            Self::Sign(request) => driver.sign(request, ctx).map(Answer::Signature),
            Self::Generate(spec) => {
                let generator = driver.generator().ok_or_else(|| {
                    let detail = "this token makes no keys; make one with its maker's tools";
                    DriverError::unsupported(detail)
                })?;
                generator.generate(spec, ctx).map(Answer::Key)
            }
            Self::Attest(key, nonce) => attester(driver)?.attest(key, nonce).map(Answer::Evidence),
            Self::Destroy(key, spki_sha256) => {
                let destroyer = driver.destroyer().ok_or_else(|| {
                    let detail = "this token destroys no keys; do it with its maker's tools";
                    DriverError::unsupported(detail)
                })?;
                let destroyed = destroyer.destroy(key, spki_sha256);
                destroyed.map(|()| Answer::Destroyed)
            }
            Self::Activate(challenge) => {
                attester(driver)?.activate(challenge).map(Answer::Activated)
            }
        }
    }
}

fn attester(driver: &mut dyn KeyDriver) -> Result<&mut dyn Attest, DriverError> {
    driver.attester().ok_or_else(|| {
        let detail = "this token gives no evidence of a key's origin";
        DriverError::unsupported(detail)
    })
}
