//! The trust document that `verify` judges with: whether it is the tenant's own word, and the newest one.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::Envelope;
use sealwright_core::json;
use sealwright_core::name::{KeyVersionId, Tenant};
use sealwright_core::trust::Document;
use sealwright_core::trust::signed::{self, Signed};
use serde::{Deserialize, Serialize};

use super::inputs;
use crate::clock;
use crate::failure::Failure;
use crate::files;

/// The document, and why to believe it.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustArgs {
    /// A trust document (`sealwright trust export`) in place of keys: each of its versions counts, and the
    /// signature gets a verdict.
    #[arg(
        long = "trust",
        value_name = "FILE",
        requires = "file",
        group = "signers",
        conflicts_with = "scheme"
    )]
    pub(super) document: Option<PathBuf>,
    /// The key that you trust: it, or a successor that it leads to, must have signed the document. A PUBLIC KEY in
    /// PEM, or the fingerprint of one (SHA-256 of the SubjectPublicKeyInfo in hex, or the keyid).
    #[arg(long, value_name = "PEM|SHA256", requires = "document")]
    trust_key: Option<String>,
    /// Believe a document that nobody signed: you trust the way it came.
    #[arg(long, requires = "document", conflicts_with = "trust_key")]
    trust_unsigned: bool,
    /// Take no document with a smaller serial.
    #[arg(long, value_name = "N", requires = "trust_key")]
    min_serial: Option<u64>,
    /// Remember the newest document here, and take no older one, and none of another log or tenant.
    #[arg(long, value_name = "FILE", requires = "trust_key")]
    trust_state: Option<PathBuf>,
}

/// A document to rely on.
pub(super) struct Trusted {
    pub(super) document: Document,
    pub(super) published: Option<PublishedBy>,
}

/// What makes a signed document a tenant's word.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PublishedBy {
    pub(super) serial: u64,
    pub(super) signed_by: KeyVersionId,
}

impl TrustArgs {
    /// The document that `--trust` names.
    pub(super) fn read(&self) -> Result<Option<Trusted>, Failure> {
        let Some(path) = &self.document else {
            return Ok(None);
        };
        let bytes = files::read(path)?;
        let trusted = match (is_envelope(&bytes), &self.trust_key) {
            (true, Some(pin)) => self.signed(path, &bytes, pin)?,
            (true, None) => {
                let next = "is signed: say with --trust-key who may have signed it";
                return Err(at(path, next));
            }
            (false, pin) => {
                let document = Document::parse(&bytes).map_err(|e| at(path, e))?;
                if pin.is_some() || !self.trust_unsigned {
                    let next = "is not signed; take one that is (`sealwright trust export --signed-by KEY`), or say \
                                --trust-unsigned if you trust the way it came";
                    return Err(at(path, next));
                }
                Trusted {
                    document,
                    published: None,
                }
            }
        };
        Ok(Some(trusted))
    }

    fn signed(&self, path: &Path, bytes: &[u8], pin: &str) -> Result<Trusted, Failure> {
        let bad = |e: signed::SignedError| Failure::NotGood(format!("{}: {e}", path.display()));
        let envelope = Envelope::parse(bytes).map_err(|e| at(path, e))?;
        let signed = signed::verify(envelope, fingerprint(pin)?).map_err(bad)?;
        let seen = match &self.trust_state {
            Some(state) => Seen::read(state)?,
            None => None,
        };
        let seen_serial = match &seen {
            Some(seen) => seen.check(path, &signed)?,
            None => 0,
        };
        let least = seen_serial.max(self.min_serial.unwrap_or(0));
        signed.check_age(least, clock::now()).map_err(bad)?;
        if let Some(state) = &self.trust_state {
            Seen::of(&signed).write(state)?;
        }
        let published = PublishedBy {
            serial: signed.published.serial,
            signed_by: signed.signed_by,
        };
        Ok(Trusted {
            document: signed.document,
            published: Some(published),
        })
    }
}

fn at(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::Local(format!("{}: {reason}", path.display()))
}

/// An envelope has a payload, a document has none.
fn is_envelope(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(default)]
        payload: Option<serde::de::IgnoredAny>,
    }
    json::from_slice::<Probe>(bytes).is_ok_and(|probe| probe.payload.is_some())
}

/// SHA-256 of the SubjectPublicKeyInfo of the key that `--trust-key` names.
fn fingerprint(text: &str) -> Result<Sha256Digest, Failure> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    match STANDARD.decode(text).map(<[u8; 32]>::try_from) {
        Ok(Ok(keyid)) => Ok(Sha256Digest(keyid)),
        _ => Ok(inputs::trusted(Path::new(text), None)?.spki().sha256()),
    }
}

/// The newest document that was relied on: what `--trust-state` keeps.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    origin: String,
    tenant: Tenant,
    serial: u64,
    sha256: Sha256Digest,
}

impl Seen {
    fn of(signed: &Signed) -> Self {
        Self {
            origin: signed.document.log().origin.clone(),
            tenant: signed.published.tenant.clone(),
            serial: signed.published.serial,
            sha256: signed.sha256,
        }
    }

    /// `None` where there is no file yet.
    fn read(path: &Path) -> Result<Option<Self>, Failure> {
        if !path.exists() {
            return Ok(None);
        }
        let seen = json::from_slice(&files::read(path)?);
        seen.map(Some).map_err(|e| {
            let next = format!("is no state of `verify --trust-state` ({e}); name another file");
            at(path, next)
        })
    }

    fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(Failure::local)?;
        Ok(files::write_product(path, (text + "\n").as_bytes())?)
    }

    /// The smallest serial that is good, if `signed` is of the same tenant and log, or of one that took its place, and not
    /// another document with the same number.
    fn check(&self, path: &Path, signed: &Signed) -> Result<u64, Failure> {
        let new = Self::of(signed);
        let not_good = |why: String| Failure::NotGood(format!("{}: {why}", path.display()));
        let took_over = self.tenant == new.tenant
            && self.origin != new.origin
            && signed.document.logs().any(|log| log.origin == self.origin);
        if took_over {
            // A new log numbers its documents from 1 again.
            return Ok(0);
        }
        if (&self.origin, &self.tenant) != (&new.origin, &new.tenant) {
            return Err(not_good(format!(
                "is of tenant {} and the log {}; until now documents were of tenant {} and the log {}",
                new.tenant, new.origin, self.tenant, self.origin
            )));
        }
        if self.serial == new.serial && self.sha256 != new.sha256 {
            return Err(not_good(format!(
                "is another document with the serial {} than the one that was seen: somebody published two",
                self.serial
            )));
        }
        Ok(self.serial)
    }
}

#[cfg(test)]
mod tests {
    use sealwright_core::time::Timestamp;
    use sealwright_core::tlog::VerifierKey;
    use sealwright_core::trust::{Log, Published};

    use super::*;

    fn signed(origin: &str, former: &str, serial: u64) -> Signed {
        // A key of C2SP's examples, under another name.
        let vkey = |name: &str| {
            let example: VerifierKey = EXAMPLE.parse().unwrap();
            let key = VerifierKey::new(name, example.kind(), example.public_key());
            key.unwrap().to_string()
        };
        let former = Log {
            origin: former.to_owned(),
            vkey: vkey(former),
        };
        let document = Document::new(Timestamp::default(), &vkey(origin), vec![former], []);
        Signed {
            document: document.unwrap(),
            published: Published {
                tenant: Tenant::default(),
                serial,
                valid_until: None,
            },
            signed_by: "release#1".parse().unwrap(),
            sha256: Sha256Digest([serial.try_into().unwrap(); 32]),
        }
    }

    const EXAMPLE: &str =
        "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu";

    #[test]
    fn documents_of_a_log_that_took_anothers_place_count_from_one_again() {
        let seen = Seen::of(&signed("b/log", "a/log", 7));
        let least = |origin: &str, former: &str, serial| {
            seen.check(Path::new("f"), &signed(origin, former, serial))
        };
        assert_eq!(least("b/log", "a/log", 7).unwrap(), 7);
        assert_eq!(least("c/log", "b/log", 1).unwrap(), 0);
        // Back to the log before, or to one that has nothing to do with it.
        for (origin, former) in [("a/log", "z/log"), ("c/log", "a/log")] {
            assert!(least(origin, former, 9).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_pinned_key_is_a_fingerprint_a_keyid_or_a_file() {
        let digest = Sha256Digest([7; 32]);
        assert_eq!(fingerprint(&digest.to_string()).unwrap(), digest);
        assert_eq!(fingerprint(&STANDARD.encode(digest.0)).unwrap(), digest);
        let missing = fingerprint("no-such-file.pem").unwrap_err();
        assert!(
            missing.to_string().contains("no-such-file.pem"),
            "{missing}"
        );
    }
}
