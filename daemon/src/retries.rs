//! `Idempotency-Key`: a retry of an answered request gets the same answer, one of a request in flight is told
//! to wait, and a key that belongs to another request is refused.
//!
//! Answers are kept in memory for a while. After that, or after a restart, the journal still knows that the
//! key was used: the retry is signed anew and its record names the earlier one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::name::KeyVersionId;

use crate::refusal::Refusal;
use crate::seal::{Format, Sealed};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Bytes of answers kept at most; the oldest go first.
const KEPT_BYTES: usize = 32 << 20;

/// What makes two requests the same.
#[derive(Debug)]
pub struct RetryKey<'a> {
    /// Who asks; another principal's key is another key.
    pub principal: &'a str,
    /// SHA-256 of the Idempotency-Key; `None`: the caller wants no such thing.
    pub idempotency: Option<Sha256Digest>,
    /// What is to be signed.
    pub pae_sha256: Sha256Digest,
    /// With which keys, in the versions that sign now.
    pub keys: Vec<KeyVersionId>,
    /// To be answered as.
    pub format: Format,
}

/// What is known of an earlier request.
pub enum Earlier<'r> {
    /// Its answer.
    Sealed(Sealed),
    /// Nothing: this one is the first.
    No(Turn<'r>),
}

type SlotKey = (String, Sha256Digest);

/// What a slot is compared by: a retry has to be the same request.
#[derive(Debug, PartialEq, Eq)]
struct Same {
    pae_sha256: Sha256Digest,
    keys: Vec<KeyVersionId>,
    format: Format,
}

impl Same {
    /// Whether it is the same request, whatever became of its keys in between.
    fn is_request(&self, other: &Self) -> bool {
        let names = |same: &Self| {
            same.keys
                .iter()
                .map(|id| id.key.clone())
                .collect::<Vec<_>>()
        };
        self.pae_sha256 == other.pae_sha256
            && self.format == other.format
            && names(self) == names(other)
    }
}

struct Slot {
    same: Same,
    answer: Option<(Sealed, Instant)>,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<SlotKey, Slot>,
    by_age: VecDeque<SlotKey>,
    bytes: usize,
}

/// Answers by Idempotency-Key.
#[derive(Default)]
pub struct Retries(Mutex<Slots>);

impl Retries {
    /// Looks an earlier request up, and takes the slot if there is none.
    pub fn earlier(&self, key: &RetryKey<'_>, now: Instant) -> Result<Earlier<'_>, Refusal> {
        let Some(idempotency) = key.idempotency else {
            return Ok(Earlier::No(Turn {
                retries: self,
                slot: None,
            }));
        };
        let slot_key = (key.principal.to_owned(), idempotency);
        let same = Same {
            pae_sha256: key.pae_sha256,
            keys: key.keys.clone(),
            format: key.format,
        };
        let mut slots = self.lock();
        slots.forget_old(now);
        match slots.by_key.get(&slot_key) {
            Some(slot) if !slot.same.is_request(&same) => Err(conflict()),
            Some(Slot { answer: None, .. }) => Err(Refusal::denied(
                Code::IdempotencyInFlight,
                "a request with this Idempotency-Key is in flight",
            )),
            Some(Slot {
                answer: Some((sealed, _)),
                same: before,
            }) if *before == same => Ok(Earlier::Sealed(sealed.clone().replayed())),
            // The first of its kind, or its keys have been rotated since: signed anew.
            _ => {
                slots
                    .by_key
                    .insert(slot_key.clone(), Slot { same, answer: None });
                Ok(Earlier::No(Turn {
                    retries: self,
                    slot: Some(slot_key),
                }))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Idempotency-Key belongs to another request.
pub fn conflict() -> Refusal {
    Refusal::denied(
        Code::IdempotencyConflict,
        "the Idempotency-Key was used for another request",
    )
}

impl Slots {
    fn forget_old(&mut self, now: Instant) {
        while let Some(key) = self.by_age.front() {
            let old = self.by_key.get(key).and_then(|slot| slot.answer.as_ref());
            let expired = old.is_none_or(|(_, at)| now.duration_since(*at) > KEPT_FOR);
            if !expired && self.bytes <= KEPT_BYTES {
                break;
            }
            if let Some((sealed, _)) = old {
                self.bytes = self.bytes.saturating_sub(sealed.size());
            }
            if let Some(key) = self.by_age.pop_front() {
                self.by_key.remove(&key);
            }
        }
    }
}

/// The right to answer a request first. Dropped without an answer, the next retry may try.
#[must_use]
pub struct Turn<'r> {
    retries: &'r Retries,
    slot: Option<SlotKey>,
}

impl Turn<'_> {
    /// Keeps the answer for retries. Each of them is authorised and recorded like any request.
    pub fn keep(mut self, sealed: Sealed) -> Sealed {
        if let Some(key) = self.slot.take() {
            let mut slots = self.retries.lock();
            if let Some(slot) = slots.by_key.get_mut(&key) {
                slot.answer = Some((sealed.clone(), Instant::now()));
                slots.bytes += sealed.size();
                slots.by_age.push_back(key);
                slots.forget_old(Instant::now());
            }
        }
        sealed
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.slot.take() {
            self.retries.lock().by_key.remove(&key);
        }
    }
}
