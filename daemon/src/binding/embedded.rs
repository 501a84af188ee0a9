//! The store of one host, in memory: a restart forgets the proofs, and with its nonces makes all of them worthless.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::ready;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::jose::Thumbprint;

use super::store::{Later, SenderStore, StoreGone, Use, Used};

/// Bytes of a nonce.
const NONCE_LEN: usize = 16;
/// Seconds of proofs that are forgotten together.
const SPAN_S: u64 = 16;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Proofs in all.
    pub all: usize,
    /// Proofs of one key.
    pub per_key: usize,
}

/// Nonces are an HMAC of the period under a key of this run; used proofs are a set.
pub struct Embedded {
    nonce_key: hmac::Key,
    bounds: Bounds,
    // Held for a look-up only.
    seen: Mutex<Seen>,
}

/// 128 bits of a digest: whoever finds two proofs that agree in them has only spoilt one of his own.
type Short = [u8; 16];

/// Proofs by the span of time in which they become too old.
#[derive(Default)]
struct Seen {
    spans: BTreeMap<u64, Span>,
    count: usize,
}

#[derive(Default)]
struct Span {
    proofs: HashSet<Short>,
    by_key: HashMap<Thumbprint, usize>,
}

impl Embedded {
    /// A store with a fresh key.
    ///
    /// # Errors
    /// [`StoreGone`]: the system has no randomness.
    pub fn new(bounds: Bounds) -> Result<Self, StoreGone> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let nonce_key = key.map_err(|_| StoreGone("the system has no randomness".to_owned()))?;
        Ok(Self {
            nonce_key,
            bounds,
            seen: Mutex::default(),
        })
    }

    fn remember(&self, used: Used) -> Result<Use, StoreGone> {
        let digest = Sha256Digest::of(&[&used.jkt.0.0, &used.jti_sha256.0]);
        let mut short = Short::default();
        short.copy_from_slice(&digest.0[..16]);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(used.now_s);
        if seen.spans.values().any(|span| span.proofs.contains(&short)) {
            return Ok(Use::Again);
        }
        if seen.of_key(&used.jkt) >= self.bounds.per_key {
            return Ok(Use::TooMany);
        }
        if seen.count >= self.bounds.all {
            return Err(StoreGone("it is full".to_owned()));
        }
        seen.count += 1;
        let span = seen.spans.entry(used.until_s / SPAN_S).or_default();
        span.proofs.insert(short);
        *span.by_key.entry(used.jkt).or_default() += 1;
        Ok(Use::First)
    }
}

impl Seen {
    fn forget(&mut self, now_s: u64) {
        while let Some(first) = self.spans.first_entry()
            && (first.key() + 1) * SPAN_S <= now_s
        {
            self.count -= first.remove().proofs.len();
        }
    }

    fn of_key(&self, jkt: &Thumbprint) -> usize {
        let counts = self.spans.values().filter_map(|span| span.by_key.get(jkt));
        counts.sum()
    }
}

impl SenderStore for Embedded {
    fn nonce(&self, period: u64) -> Later<'_, String> {
        let tag = hmac::sign(&self.nonce_key, &period.to_be_bytes());
        let nonce = tag.as_ref().get(..NONCE_LEN).unwrap_or_default();
        Box::pin(ready(Ok(URL_SAFE_NO_PAD.encode(nonce))))
    }

    fn first_use(&self, used: Used) -> Later<'_, Use> {
        Box::pin(ready(self.remember(used)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::store::conformance::{check, used};
    use super::*;

    fn store(all: usize, per_key: usize) -> Embedded {
        Embedded::new(Bounds { all, per_key }).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_a_store() {
        check(Arc::new(store(100, 8))).await;
    }

    #[tokio::test]
    async fn a_proof_that_is_too_old_anyway_is_forgotten_and_makes_room() {
        let store = store(2, 2);
        assert_eq!(
            store.first_use(used(1, 1, 1060, 1000)).await,
            Ok(Use::First)
        );
        assert_eq!(
            store.first_use(used(1, 2, 1060, 1000)).await,
            Ok(Use::First)
        );
        assert_eq!(
            store.first_use(used(1, 3, 1060, 1000)).await,
            Ok(Use::TooMany)
        );
        let full = store.first_use(used(2, 1, 1060, 1000)).await;
        assert_eq!(full, Err(StoreGone("it is full".to_owned())));
        assert_eq!(
            store.first_use(used(1, 1, 1060, 1060)).await,
            Ok(Use::Again)
        );
        let later = 1060 + SPAN_S;
        assert_eq!(
            store.first_use(used(1, 3, later + 60, later)).await,
            Ok(Use::First)
        );
        assert_eq!(store.seen.lock().unwrap().count, 1);
    }

    #[tokio::test]
    async fn a_restart_makes_the_nonces_of_before_worthless() {
        let (before, after) = (store(1, 1), store(1, 1));
        assert_ne!(before.nonce(7).await, after.nonce(7).await);
    }
}
