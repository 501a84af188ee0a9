//! What has to be remembered of proofs: the nonces that were given out, and which proofs were used.

use std::pin::Pin;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::jose::Thumbprint;

/// The store does not answer. Whoever asks refuses: a proof that may have been used before is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of nonces and proofs does not answer: {0}")]
pub struct StoreGone(pub String);

/// An answer that may have to come from elsewhere.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreGone>> + Send + 'a>>;

/// One use of a proof.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// The key that made it.
    pub jkt: Thumbprint,
    /// SHA-256 of its `jti`.
    pub jti_sha256: Sha256Digest,
    /// Seconds since 1970 after which it is too old anyway.
    pub until_s: u64,
    /// Seconds since 1970: now.
    pub now_s: u64,
}

/// What a store says of a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The first, which is remembered now.
    First,
    /// The same key used this `jti` before.
    Again,
    /// Not remembered: the key has more proofs in the window than it may.
    TooMany,
}

/// A store of nonces and used proofs; several hosts may share one.
pub trait SenderStore: Send + Sync {
    /// The nonce of a period: the same whoever asks, and nobody else can say it.
    fn nonce(&self, period: u64) -> Later<'_, String>;

    /// Remembers a use until it is over, and says whether it is the first. Of several at once exactly one is.
    fn first_use(&self, used: Used) -> Later<'_, Use>;
}

#[cfg(test)]
pub(super) mod conformance {
    //! What a store is: every implementation runs all of it.

    use std::sync::Arc;

    use super::*;

    pub(in super::super) fn used(key: u8, jti: u32, until_s: u64, now_s: u64) -> Used {
        Used {
            jkt: Thumbprint(Sha256Digest([key; 32])),
            jti_sha256: Sha256Digest::of(&[&jti.to_be_bytes()]),
            until_s,
            now_s,
        }
    }

    /// `store` remembers at least 8 proofs of a key.
    pub(in super::super) async fn check(store: Arc<dyn SenderStore>) {
        nonces_belong_to_their_period(&*store).await;
        a_use_is_the_first_once(&*store).await;
        of_many_at_once_one_is_the_first(&store).await;
    }

    async fn nonces_belong_to_their_period(store: &dyn SenderStore) {
        let first = store.nonce(7).await.unwrap();
        assert_eq!(store.nonce(7).await.unwrap(), first);
        assert_ne!(store.nonce(8).await.unwrap(), first);
        // RFC 9449 section 8.1: NQCHAR.
        let is_good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        assert!(first.len() >= 16 && first.bytes().all(is_good), "{first}");
    }

    async fn a_use_is_the_first_once(store: &dyn SenderStore) {
        assert_eq!(
            store.first_use(used(1, 1, 1060, 1000)).await,
            Ok(Use::First)
        );
        assert_eq!(
            store.first_use(used(1, 1, 1060, 1000)).await,
            Ok(Use::Again)
        );
        // The same jti in a proof made at another time.
        assert_eq!(
            store.first_use(used(1, 1, 1030, 1001)).await,
            Ok(Use::Again)
        );
        assert_eq!(
            store.first_use(used(1, 1, 1060, 1059)).await,
            Ok(Use::Again)
        );
        // Another jti, and another key with this one.
        assert_eq!(
            store.first_use(used(1, 2, 1060, 1000)).await,
            Ok(Use::First)
        );
        assert_eq!(
            store.first_use(used(2, 1, 1060, 1000)).await,
            Ok(Use::First)
        );
    }

    async fn of_many_at_once_one_is_the_first(store: &Arc<dyn SenderStore>) {
        let ask = || {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.first_use(used(3, 1, 1060, 1000)).await })
        };
        let asked: Vec<_> = (0..32).map(|_| ask()).collect();
        let mut firsts = 0;
        for one in asked {
            match one.await.unwrap().unwrap() {
                Use::First => firsts += 1,
                other => assert_eq!(other, Use::Again),
            }
        }
        assert_eq!(firsts, 1);
    }
}
