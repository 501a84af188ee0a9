//! Verifying a bundle together with its log entry and the time it was signed at.

use super::log::{self, LogError};
use super::timestamp::{self, Stamped, TimestampError};
use super::trusted_root::TrustedRoot;
use super::{Artifact, Bundle, BundleVerifyError, Content, VerifiedBundle};
use crate::dsse::TrustedKey;
use crate::time::Timestamp;

/// Why a bundle is not shown to be logged.
#[derive(Debug, thiserror::Error)]
pub enum LoggedError {
    /// The signature itself fails.
    #[error(transparent)]
    Bundle(#[from] BundleVerifyError),
    /// No log entry.
    #[error("the bundle has no log entry; at least one of a trusted log is needed")]
    NoEntry,
    /// An entry fails.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A time stamp fails.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
    /// One entry or time stamp twice.
    #[error("the bundle carries the same log entry or time stamp twice")]
    Repeated,
    /// Nothing says when.
    #[error(
        "nothing trusted says when the bundle was signed: neither a time stamp nor a signed promise"
    )]
    NoTime,
    /// A time that is yet to come.
    #[error("the bundle was signed at {0}, which is in the future")]
    Future(Timestamp),
}

impl Bundle {
    /// Verifies like [`Bundle::verify`], and that at least one log of `root` holds the signature and at least
    /// one trusted time is known. Every entry must be good, and every time stamp of a trusted authority.
    ///
    /// `now` is the verifier's clock.
    pub fn verify_logged(
        &self,
        key: &TrustedKey,
        artifact: Artifact<'_>,
        root: &TrustedRoot,
        now: Timestamp,
    ) -> Result<VerifiedBundle, LoggedError> {
        let verified = self.verify(key, artifact)?;
        let material = &self.material;
        if has_repeated(&material.log_entries) || has_repeated(&material.timestamps) {
            return Err(LoggedError::Repeated);
        }
        let entries = material.log_entries.iter();
        let proved: Vec<_> = entries
            .map(|entry| log::verify(entry, self, key, artifact, root))
            .collect::<Result<_, _>>()?;
        if proved.is_empty() {
            return Err(LoggedError::NoEntry);
        }
        let mut times: Vec<Timestamp> = proved.iter().filter_map(|entry| entry.time).collect();
        times.extend(self.stamps(root)?.iter().map(|stamp| stamp.time));
        if times.is_empty() {
            return Err(LoggedError::NoTime);
        }
        if let Some(future) = times.iter().find(|time| **time > now) {
            return Err(LoggedError::Future(*future));
        }
        if proved
            .iter()
            .any(|entry| times.iter().any(|time| !entry.log.valid.covers(*time)))
        {
            return Err(LogError::NotValidThen.into());
        }
        Ok(verified)
    }

    /// When the signature existed at the latest, by the earliest time stamp of a trusted authority; `None` where there is
    /// none. Time stamps of others say nothing.
    ///
    /// # Errors
    /// [`TimestampError`]: a time stamp cannot be read, or one of a trusted authority does not verify.
    pub fn stamped(&self, root: &TrustedRoot) -> Result<Option<Timestamp>, TimestampError> {
        let latest = self.stamps(root)?.into_iter().map(|stamp| stamp.latest);
        Ok(latest.min())
    }

    fn stamps(&self, root: &TrustedRoot) -> Result<Vec<Stamped>, TimestampError> {
        let signature = match &self.content {
            Content::Dsse(envelope) => envelope
                .signatures()
                .first()
                .and_then(|s| s.sig.as_deref())
                .unwrap_or_default(),
            Content::Message(message) => &message.signature,
        };
        let mut stamps = Vec::new();
        for response in &self.material.timestamps {
            match timestamp::verify(response, signature, &root.authorities) {
                Ok(stamp) => stamps.push(stamp),
                Err(TimestampError::UnknownAuthority) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stamps)
    }
}

fn has_repeated<T: PartialEq>(list: &[T]) -> bool {
    list.iter()
        .enumerate()
        .any(|(i, item)| list.iter().take(i).any(|earlier| earlier == item))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::spki::Spki;

    const ARTIFACT: &[u8] = include_bytes!("../../../fixtures/private-log/artifact");

    /// A bundle of a private Rekor v2 log, made by `fixtures/private-log/make`.
    pub(in crate::bundle) fn bundle() -> Bundle {
        Bundle::parse(include_bytes!(
            "../../../fixtures/private-log/bundle.sigstore.json"
        ))
        .unwrap()
    }

    pub(in crate::bundle) fn root() -> TrustedRoot {
        TrustedRoot::parse(include_bytes!(
            "../../../fixtures/private-log/trusted_root.json"
        ))
        .unwrap()
    }

    pub(in crate::bundle) fn key() -> TrustedKey {
        let pem = include_str!("../../../fixtures/private-log/key.pub");
        TrustedKey::with_default_scheme(Spki::from_pem(pem).unwrap()).unwrap()
    }

    fn verify(bundle: &Bundle, root: &TrustedRoot) -> Result<VerifiedBundle, LoggedError> {
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        bundle.verify_logged(&key(), Artifact::Bytes(ARTIFACT), root, now)
    }

    #[test]
    fn a_logged_and_stamped_bundle_verifies() {
        verify(&bundle(), &root()).unwrap();
    }

    #[test]
    fn entry_and_time_are_both_needed_and_each_stands_once() {
        let mut no_entry = bundle();
        no_entry.material.log_entries.clear();
        assert!(matches!(
            verify(&no_entry, &root()),
            Err(LoggedError::NoEntry)
        ));
        let mut no_time = bundle();
        no_time.material.timestamps.clear();
        assert!(matches!(
            verify(&no_time, &root()),
            Err(LoggedError::NoTime)
        ));
        let mut twice = bundle();
        twice
            .material
            .log_entries
            .extend(bundle().material.log_entries);
        assert!(matches!(
            verify(&twice, &root()),
            Err(LoggedError::Repeated)
        ));
    }

    #[test]
    fn a_time_stamp_of_a_stranger_is_no_time() {
        let mut strangers = root();
        strangers.authorities.clear();
        assert!(matches!(
            verify(&bundle(), &strangers),
            Err(LoggedError::NoTime)
        ));
    }

    #[test]
    fn a_bundle_from_the_future_is_refused() {
        let early = "2026-11-25T09:17:57Z".parse().unwrap();
        let answer = bundle().verify_logged(&key(), Artifact::Bytes(ARTIFACT), &root(), early);
        assert!(matches!(answer, Err(LoggedError::Future(_))));
    }
}
