//! Everything a request needs, made once at start and passed by reference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::evidence::Roots;
use sealwright_core::name::KeyVersionId;
use sealwright_core::permit::Permit;
use sealwright_core::record::{Event, Outcome, SignRecord};
use sealwright_core::state::State;
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::VerifierKey;
use sealwright_core::token::TokenFacts;
use tokio::sync::watch;

use crate::audit::checkpoint::Published;
use crate::audit::checkpoint_store::Store;
use crate::audit::disk::Disk;
use crate::audit::eraser::Eraser;
use crate::audit::index::Index;
use crate::audit::segments::Space;
use crate::audit::stubs::Stub;
use crate::audit::tree::{Pending, TileFolder};
use crate::audit::witnesses::Witnesses;
use crate::audit::writer::Journal;
use crate::authn::{Caller, Directory, Peer, Tls};
use crate::binding::{self, Address, Binding, Presented};
use crate::body::Budget;
use crate::canary::Canaries;
use crate::clock::{Clock, TrustedClock};
use crate::config::{Anchor, Config};
use crate::denials::{Denials, Who};
use crate::deny::Denied;
use crate::expiry::Expiries;
use crate::failpoints::Failpoints;
use crate::holder::Holder;
use crate::kept;
use crate::later::Later;
use crate::metrics::Metrics;
use crate::policy::PolicyHolder;
use crate::receipts;
use crate::refusal::Refusal;
use crate::retries::{Earlier, Retries, RetryKey, conflict};
use crate::rotation::schedule::Attempts;
use crate::suspects::Suspects;
use crate::tokens::Tokens;
use crate::verifier::AwsLcVerifier;

/// The running daemon.
pub struct Daemon {
    /// As read at start.
    pub config: Config,
    /// TLS settings.
    pub tls: Tls,
    /// Known principals.
    pub directory: Directory,
    /// Keys that no caller may use.
    pub deny: Holder<Denied>,
    /// What access tokens are held against.
    pub binding: Binding,
    /// Certificates that run out.
    pub expiries: Expiries,
    /// The policy in force.
    pub policy: PolicyHolder,
    /// The log's writer.
    pub journal: Journal,
    /// Destroys bodies of old records.
    pub eraser: Eraser,
    /// The journal's folder.
    pub disk: Arc<dyn Disk>,
    /// Segments whose bodies are in the archive; none is added while the daemon runs.
    pub archived: Vec<Stub>,
    /// The log's index, for queries.
    pub index: Index,
    /// Evidence documents.
    pub evidence: Arc<kept::Folder>,
    /// Receipts' statements and envelopes.
    pub receipts: Arc<receipts::Store>,
    /// Whose word counts for where a device was made.
    pub device_roots: Roots,
    /// Whether a record would find room.
    pub space: Arc<Space>,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// Memory for bodies.
    pub budget: Budget,
    /// Answers by Idempotency-Key.
    pub retries: Retries,
    /// Answers that come later.
    pub later: Later,
    /// Denials per principal.
    pub denials: Denials,
    /// Whether the tokens still sign.
    pub canaries: Canaries,
    /// What monitoring counts.
    pub metrics: Metrics,
    /// Records that no checkpoint covers yet.
    pub pending: Arc<Pending>,
    /// Tokens that returned something that must not be believed.
    pub suspects: Suspects,
    /// The newest checkpoint.
    pub checkpoints: watch::Receiver<Option<Published>>,
    /// Checkpoints on disk; told of each one that leaves the host.
    pub store: Arc<Store>,
    /// What the witnesses vouched for.
    pub witnesses: Witnesses,
    /// The tree's tiles.
    pub tiles: TileFolder,
    /// The key that verifies checkpoints.
    pub log_key: VerifierKey,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The same, for what is decided by time.
    pub trusted_clock: TrustedClock,
    /// What became of the scheduled rotations that are due.
    pub scheduled: Attempts,
    /// Where a test wants this process to die.
    pub failpoints: Arc<Failpoints>,
    /// The first of the two verifiers.
    pub verifier: AwsLcVerifier,
    /// Set once the daemon is told to stop.
    pub stopping: watch::Sender<bool>,
}

impl Daemon {
    /// Stage *authenticate*, for every request: the key is not denied, and what the directory says.
    pub fn authenticate(&self, peer: &Peer) -> Result<Caller, Refusal> {
        if self.deny.current().contains(&peer.identity.spki_sha256) {
            let detail = "the client certificate's key is on the host's deny list";
            return Err(Refusal::bad_input(Code::CertificateRefused, detail));
        }
        self.directory
            .authenticate(&peer.identity, peer.cred, self.clock.now())
    }

    /// Stage *bind token*: the caller with the access token that it showed. `facts` is filled once it is known whose token
    /// it is.
    pub async fn bind_token(
        &self,
        caller: Caller,
        peer: &Peer,
        shown: Option<(Presented, Address)>,
        facts: &mut Option<Box<TokenFacts>>,
    ) -> Result<Caller, Refusal> {
        let Some((presented, address)) = shown else {
            return Ok(caller);
        };
        let now = self.trusted_clock.now()?;
        let shown = (&presented, &address);
        let bound = self
            .binding
            .bind(shown, &caller, &peer.identity, now, facts);
        let bound = bound.await;
        binding::telemetry(&caller, facts.as_deref(), bound.as_ref().err());
        Ok(Caller {
            token: Some(Arc::new(bound?)),
            ..caller
        })
    }

    /// SHA-256 of the configuration in force, deny list included.
    pub fn config_digest(&self) -> Sha256Digest {
        self.deny.current().config_digest()
    }

    /// Whether a release could be recorded: asked before a key is used.
    pub fn can_record(&self) -> Result<(), Refusal> {
        if *self.stopping.borrow() {
            return Err(Refusal::failed(
                Code::ShuttingDown,
                "the daemon is stopping",
            ));
        }
        self.log_takes_more()
    }

    /// Waits until the daemon is told to stop: whoever waits for news waits no longer.
    pub async fn stopped(&self) {
        // Its sender is in `self`.
        let _ = self
            .stopping
            .subscribe()
            .wait_for(|stopping| *stopping)
            .await;
    }

    fn log_takes_more(&self) -> Result<(), Refusal> {
        if self.journal.is_poisoned() {
            return Err(Refusal::failed(
                Code::LogPoisoned,
                "the journal is poisoned",
            ));
        }
        if !self.space.is_enough() {
            return Err(Refusal::failed(
                Code::LogFull,
                "too little room for the next records",
            ));
        }
        let lag = Duration::from_secs(self.config.log.max_checkpoint_lag_s);
        if self.checkpoint_lag() > lag {
            let reason = format!("no checkpoint for more than {} s", lag.as_secs());
            return Err(Refusal::failed(Code::CheckpointLag, reason));
        }
        Ok(())
    }

    /// Whether a signature may be made: it could be recorded, and the witnesses' word is young enough where
    /// `anchor = "require"`.
    pub fn can_sign(&self) -> Result<(), Refusal> {
        self.can_record()?;
        if self.config.log.anchor == Anchor::Require && self.is_anchor_stale() {
            let limit = self.config.log.max_anchor_age_s;
            let reason = format!("no quorum of witnesses within {limit} s");
            return Err(Refusal::failed(Code::AnchorStale, reason));
        }
        Ok(())
    }

    /// Whether the newest quorum is older than `max_anchor_age_s`, or there is none.
    pub fn is_anchor_stale(&self) -> bool {
        let age = self.witnesses.age(self.clock.now());
        age.is_none_or(|age| age > self.config.log.max_anchor_age_s)
    }

    /// The time that a record would have now: what the fold judges by. Ahead of the wall clock after that was set back.
    pub fn record_time(&self) -> Timestamp {
        let newest = self.journal.with_state(State::last_time);
        self.clock.now().max(newest)
    }

    /// Records that the newest checkpoint covers.
    ///
    /// A function of its own: the borrow must end before the next one begins, or a checkpoint that is published in
    /// between waits for the first while the second waits for it.
    pub fn checkpoint_size(&self) -> u64 {
        let newest = self.checkpoints.borrow();
        newest.as_ref().map_or(0, |newest| newest.size)
    }

    /// How long records have been waiting for a checkpoint; zero where none waits.
    pub fn checkpoint_lag(&self) -> Duration {
        self.pending.lag()
    }

    /// Refuses a message that the key's device would have to take whole and cannot.
    pub fn check_message_size(&self, permit: &Permit, len: usize) -> Result<(), Refusal> {
        if permit.scheme().prehash().is_some() {
            return Ok(());
        }
        let limit = self
            .tokens
            .status(permit.token())
            .and_then(|status| status.says(|token| token.max_message));
        match limit {
            Some(limit) if len > limit as usize => {
                let detail = format!(
                    "{} signs messages whole, up to {limit} bytes; this one has {len}",
                    permit.key()
                );
                Err(Refusal::bad_input(Code::MessageTooLarge, detail))
            }
            _ => Ok(()),
        }
    }

    /// The kind of the token that holds the first key of a request, once that is decided.
    pub fn token_kind(&self, draft: &SignRecord) -> Option<String> {
        let id = KeyVersionId {
            key: draft.key.clone()?,
            version: draft.key_version?,
        };
        let token = self
            .journal
            .with_state(|state| Some(state.version(&id)?.enrolment.token.clone()))?;
        Some(self.tokens.status(&token)?.kind().to_owned())
    }

    /// An earlier request with the same Idempotency-Key, in memory or in the journal.
    pub fn earlier(
        &self,
        key: &RetryKey<'_>,
        draft: &mut SignRecord,
    ) -> Result<Earlier<'_>, Refusal> {
        let recorded = key.idempotency.and_then(|idempotency| {
            self.journal
                .with_state(|state| state.earlier(key.principal, &idempotency))
        });
        if let Some(recorded) = recorded {
            if recorded.pae_sha256 != key.pae_sha256 {
                return Err(conflict());
            }
            draft.retry_of = Some(recorded.index);
        }
        self.retries.earlier(key, Instant::now())
    }

    /// Marks the token that `refusal` blames, if it blames one.
    pub async fn mark_suspect(&self, refusal: &Refusal) {
        if let Some(token) = &refusal.suspect {
            self.suspects.mark(token, &refusal.reason).await;
        }
    }

    /// Records a request that ended without a signature; returns the record's index if it got one.
    ///
    /// Callers without an identity are not recorded. Refusals beyond the rate are counted instead, and so is
    /// everything while the log cannot take more: a flood of requests must not use up the last room. What closes an
    /// intent is always recorded, or its names would stay reserved.
    pub async fn record_refusal(&self, draft: SignRecord, refusal: &Refusal) -> Option<u64> {
        if refusal.recorded.is_some() || draft.principal.is_empty() {
            return refusal.recorded;
        }
        let who = Who {
            principal: &draft.principal,
            tenant: &draft.tenant,
        };
        let (now, time) = (Instant::now(), self.clock.now());
        let is_limited = matches!(refusal.outcome, Outcome::Denied | Outcome::Failed);
        let has_room = self.log_takes_more().is_ok();
        let is_limited = is_limited && draft.intent.is_none();
        if is_limited && !self.denials.is_recorded(who, has_room, now, time) {
            return None;
        }
        let request_id = draft.request_id.clone();
        match self.journal.record(Event::Sign(Box::new(draft))).await {
            Ok(recorded) => Some(recorded.index()),
            Err(error) => {
                tracing::error!(%request_id, %error, "a refusal could not be recorded");
                None
            }
        }
    }
}
