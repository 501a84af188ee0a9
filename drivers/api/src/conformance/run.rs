//! What rows are written with.

use std::time::Duration;

use sealwright_core::verify::{verify_message, verify_message_p1363};
use sealwright_core::webauthn::Assertion;

use super::{Event, Expectations, Failure, Reaction, Subject, Verdict};
use crate::wire::Answer;
use crate::{
    Descriptor, ErrorClass, KeyDescription, KeyUri, Progress, Scheme, SignInput, SignRequest,
    Signature, Task,
};

/// A row's outcome; `?` leaves the row.
pub(super) type Outcome = Result<(), Unmet>;

/// Why a row is not kept.
pub(super) enum Unmet {
    NotApplicable(&'static str),
    Broken(String),
}

impl From<Failure> for Unmet {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure.to_string())
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(()) => Self::Kept,
            Err(Unmet::NotApplicable(why)) => Self::NotApplicable(why),
            Err(Unmet::Broken(why)) => Self::Broken(why),
        }
    }
}

/// Fails the row unless `holds`.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(Unmet::Broken(otherwise()))
    }
}

/// One run of the suite.
pub(super) struct Run<'a> {
    subject: &'a mut dyn Subject,
    pub(super) expect: &'a Expectations,
}

impl<'a> Run<'a> {
    pub(super) fn new(subject: &'a mut dyn Subject, expect: &'a Expectations) -> Self {
        Self { subject, expect }
    }

    pub(super) fn descriptor(&mut self) -> Result<Descriptor, Failure> {
        self.subject.descriptor()
    }

    pub(super) fn restart(&mut self) {
        self.subject.restart();
    }

    /// Asks with the usual patience; whoever is at the device touches it when it waits for that.
    pub(super) fn ask(&mut self, task: &Task) -> Result<Answer, Failure> {
        let expect = self.expect;
        let limit = match task {
            Task::Generate(_) => expect.generate_patience,
            _ => expect.patience,
        };
        self.watched(task, limit, &mut |event| {
            if let (Event::Progress(Progress::Touch), Some(touch)) = (event, &expect.hands.touch) {
                touch();
            }
            Reaction::Wait
        })
    }

    pub(super) fn watched(
        &mut self,
        task: &Task,
        limit: Duration,
        watch: &mut dyn FnMut(Event) -> Reaction,
    ) -> Result<Answer, Failure> {
        self.subject.ask(task, limit, watch)
    }

    pub(super) fn health(&mut self) -> Outcome {
        match self.ask(&Task::Health)? {
            Answer::Healthy => Ok(()),
            other => Err(Unmet::Broken(format!("the answer to health is {other:?}"))),
        }
    }

    pub(super) fn describe(&mut self, key: &KeyUri) -> Result<KeyDescription, Unmet> {
        key_of(self.ask(&Task::Describe(key.clone()))?)
    }

    /// Signs `message` and believes nothing: the signature has to verify under the described key.
    pub(super) fn sign(
        &mut self,
        key: &KeyUri,
        scheme: Scheme,
        message: &[u8],
    ) -> Result<Vec<u8>, Unmet> {
        let spki = self.describe(key)?.spki_der;
        let answer = self.ask(&sign_task(key, scheme, message))?;
        verified(&spki, scheme, message, answer)
    }

    /// The task has to fail with one of `classes`.
    pub(super) fn refused(&mut self, task: &Task, classes: &[ErrorClass]) -> Outcome {
        match self.ask(task) {
            Err(Failure::Driver(error)) if classes.contains(&error.class) => {
                ensure(!error.detail.is_empty(), || {
                    "the error has no text".to_owned()
                })
            }
            Err(failure) => Err(Unmet::Broken(format!(
                "expected {classes:?}, got {failure}"
            ))),
            Ok(_) => Err(Unmet::Broken(format!(
                "expected {classes:?}, but it was done"
            ))),
        }
    }

    /// A key to sign with where any will do.
    pub(super) fn any_key(&self) -> Result<(KeyUri, Scheme), Unmet> {
        self.expect
            .keys
            .first()
            .cloned()
            .ok_or(Unmet::NotApplicable("the token has no key"))
    }
}

pub(super) fn sign_task(key: &KeyUri, scheme: Scheme, message: &[u8]) -> Task {
    let input = SignInput::of(scheme, &[message]);
    Task::Sign(SignRequest {
        key: key.clone(),
        scheme,
        input,
    })
}

pub(super) fn key_of(answer: Answer) -> Result<KeyDescription, Unmet> {
    match answer {
        Answer::Key(key) => Ok(key),
        other => Err(Unmet::Broken(format!("the answer is no key: {other:?}"))),
    }
}

pub(super) fn verified(
    spki: &[u8],
    scheme: Scheme,
    message: &[u8],
    answer: Answer,
) -> Result<Vec<u8>, Unmet> {
    let raw = match (answer, scheme.assertion()) {
        (Answer::Signature(Signature::Raw(raw)), None) => raw,
        (Answer::Signature(Signature::WebAuthn(assertion)), Some(_)) => {
            return assertion_verified(spki, scheme, message, &assertion);
        }
        (answer, _) => {
            return Err(Unmet::Broken(format!(
                "the answer is no signature of {scheme}: {answer:?}"
            )));
        }
    };
    if let Some(want) = scheme.raw_signature_len() {
        ensure(raw.len() == want, || {
            format!("{scheme}: {} bytes instead of {want}", raw.len())
        })?;
    }
    verify_message_p1363(spki, scheme, &[message], &raw)
        .map_err(|error| Unmet::Broken(format!("{scheme}: {error}")))?;
    Ok(raw)
}

fn assertion_verified(
    spki: &[u8],
    scheme: Scheme,
    message: &[u8],
    assertion: &Assertion,
) -> Result<Vec<u8>, Unmet> {
    let broken = |why: String| Unmet::Broken(format!("{scheme}: {why}"));
    let bytes = assertion.to_bytes().map_err(|e| broken(e.to_string()))?;
    verify_message(spki, scheme, &[message], &bytes).map_err(|e| broken(e.to_string()))?;
    Ok(bytes)
}
