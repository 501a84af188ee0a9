//! Whose signatures count: keys that were given one by one, or those of a trust document, which also judges.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::TrustedKey;
use sealwright_core::key::Purpose;
use sealwright_core::name::KeyVersionId;
use sealwright_core::time::Timestamp;
use sealwright_core::trust::Document;
use sealwright_core::verdict::{Evidence, Life, Verdict, judge, overall};
use serde::Serialize;

use super::trust::{PublishedBy, Trusted};
use super::{Args, inputs};
use crate::failure::Failure;
use crate::proof::Recorded;

/// The keys, in one order throughout.
pub(super) struct Signers {
    pub(super) keys: Vec<TrustedKey>,
    trust: Option<Trust>,
}

struct Trust {
    document: Document,
    published: Option<PublishedBy>,
    /// Of each key.
    versions: Vec<(KeyVersionId, Life)>,
}

/// What a signature is worth.
#[derive(Debug, Serialize)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) judged: Vec<Judged>,
    /// When the trust document was made: what happened later is not in it.
    pub(super) trust_time: Timestamp,
    /// Number and signer of the document, where it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trust: Option<PublishedBy>,
}

#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) key: KeyVersionId,
    pub(super) verdict: Verdict,
}

impl Signers {
    pub(super) fn read(args: &Args) -> Result<Self, Failure> {
        let Some(Trusted {
            document,
            published,
        }) = args.trust.read()?
        else {
            let keys = args.keys.iter();
            let keys = keys.map(|path| inputs::trusted(path, args.scheme));
            let keys = keys.collect::<Result<_, _>>()?;
            return Ok(Self { keys, trust: None });
        };
        let (mut keys, mut versions) = (Vec::new(), Vec::new());
        for (id, version) in document.versions(Purpose::Dsse) {
            let bad = |e| Failure::Local(format!("the trust document: {id}: {e}"));
            keys.push(version.trusted().map_err(bad)?);
            versions.push((id, version.life()));
        }
        if keys.is_empty() {
            let why = "the trust document holds no key that signs envelopes";
            return Err(Failure::local(why));
        }
        let trust = Some(Trust {
            document,
            published,
            versions,
        });
        Ok(Self { keys, trust })
    }

    pub(super) fn document(&self) -> Option<&Document> {
        self.trust.as_ref().map(|trust| &trust.document)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the keys at these positions.
    pub(super) fn digests(&self, positions: &[usize]) -> Vec<Sha256Digest> {
        let keys = positions.iter().filter_map(|&i| self.keys.get(i));
        keys.map(|key| key.spki().sha256()).collect()
    }

    /// How many must have signed: all that were given one by one, one of a document's.
    pub(super) fn threshold(&self, args: &Args) -> usize {
        let usual = match self.trust {
            Some(_) => 1,
            None => self.keys.len(),
        };
        args.threshold.unwrap_or(usual)
    }

    /// The worth of what the keys at these positions signed; `None` without a document.
    pub(super) fn judge(
        &self,
        signed: &[usize],
        threshold: usize,
        recorded: Option<&Recorded>,
        stamped: Option<Timestamp>,
    ) -> Result<Option<Judgement>, Failure> {
        let Some(Trust {
            document,
            published,
            versions,
        }) = &self.trust
        else {
            return Ok(None);
        };
        let evidence = Evidence {
            stamped,
            ..evidence(document, recorded)?
        };
        let versions = signed.iter().filter_map(|&i| versions.get(i));
        let judged = versions.map(|(key, life)| Judged {
            key: key.clone(),
            verdict: judge(*life, evidence),
        });
        let judged: Vec<_> = judged.collect();
        let by_key = judged.iter().map(|one| (&one.key.key, one.verdict));
        let verdict = overall(by_key, threshold).ok_or_else(|| {
            let why = "too few keys signed: versions of one key count once";
            Failure::NotGood(format!("{why}, and {threshold} keys are needed"))
        })?;
        Ok(Some(Judgement {
            verdict,
            judged,
            trust_time: document.time(),
            trust: published.clone(),
        }))
    }
}

/// Another log's record says nothing about these keys.
fn evidence(document: &Document, recorded: Option<&Recorded>) -> Result<Evidence, Failure> {
    let Some(recorded) = recorded else {
        return Ok(Evidence::default());
    };
    let (ours, theirs) = (&document.log().origin, &recorded.origin);
    if document.logs().all(|log| log.origin != *theirs) {
        return Err(Failure::NotGood(format!(
            "the record is in the log {theirs}, and the trust document is of {ours}"
        )));
    }
    Ok(Evidence {
        recorded: Some(recorded.time),
        witnessed: recorded.witnessed,
        stamped: None,
    })
}
