//! A complete request, as a worker gets it.

use crate::wire::Answer;
use crate::{DriverError, ErrorClass, KeyDriver, KeySpec, KeyUri, Nonce, SignContext, SignRequest};

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
                    DriverError::new(ErrorClass::Unsupported, "", detail)
                })?;
                generator.generate(spec, ctx).map(Answer::Key)
            }
            Self::Attest(key, nonce) => {
                let attester = driver.attester().ok_or_else(|| {
                    let detail = "this token gives no evidence of a key's origin";
                    DriverError::new(ErrorClass::Unsupported, "", detail)
                })?;
                attester.attest(key, nonce).map(Answer::Evidence)
            }
        }
    }
}
