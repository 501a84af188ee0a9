//! The tokens, from the daemon's side: one task, one queue and one driver process each.
//!
//! Nothing here knows what kind of device is behind a socket, and nothing here is believed about what comes
//! back: [`Tokens::sign`] returns an [`Unverified`] signature.

mod actor;
mod breaker;
mod connection;
mod queue;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealwright_core::canary::CanaryToBeSigned;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::sign::{CheckpointToBeSigned, Signature, ToBeSigned, Unverified};
use sealwright_core::uri::KeyUri;
use sealwright_driver_api::wire::{Answer, Call};
use sealwright_driver_api::{
    Challenge, DriverError, KeyDescription, KeySpec, Nonce, RawEvidence, TokenConfig,
};
use tokio::sync::{mpsc, oneshot, watch};

use self::actor::{Actor, Claim, Job, Message};
use self::connection::Outgoing;
pub use self::status::{Service, Status};

/// Why a token gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No such token is configured.
    #[error("no token {0} is configured")]
    UnknownToken(String),
    /// Its queue is full.
    #[error("the queue of token {token} is full ({limit} requests)")]
    Busy {
        /// The token.
        token: String,
        /// The limit.
        limit: usize,
    },
    /// The deadline passed before the request was sent: the key was not used.
    #[error("the deadline passed while the request waited for token {0}")]
    Expired(String),
    /// The driver cannot be reached, or not now.
    #[error("token {token} is out of service: {reason}")]
    Unavailable {
        /// The token.
        token: String,
        /// Why.
        reason: String,
    },
    /// The driver answered with an error.
    #[error("token {token}: {error}")]
    Driver {
        /// The token.
        token: String,
        /// The error.
        error: DriverError,
    },
    /// The driver was lost, or did not answer in time, after it got the request.
    #[error("token {token} was lost with the request in flight: {reason}")]
    Lost {
        /// The token.
        token: String,
        /// Why.
        reason: String,
    },
    /// The driver broke the protocol.
    #[error("token {token} misbehaved: {reason}")]
    Misbehaved {
        /// The token.
        token: String,
        /// How.
        reason: String,
    },
}

/// How long a checkpoint may wait for the log token.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a canary may take.
const CANARY_TIMEOUT: Duration = Duration::from_secs(30);
/// The name under which canaries queue.
const CANARY_PRINCIPAL: &str = "the canary";
/// The name under which checkpoints queue; no principal has it, identities have no spaces.
const CHECKPOINT_PRINCIPAL: &str = "the log";

struct Handle {
    messages: mpsc::UnboundedSender<Message>,
    status: Arc<Status>,
    next_id: AtomicU64,
}

/// All configured tokens.
pub struct Tokens {
    handles: BTreeMap<String, Handle>,
    queue_limit: usize,
    given_up: watch::Sender<bool>,
}

impl Tokens {
    /// Starts a task per token; they end when the value is dropped.
    pub fn start(configs: Vec<TokenConfig>, queue_limit: usize) -> Self {
        let handles = configs.into_iter().map(|config| {
            let (messages, inbox) = mpsc::unbounded_channel();
            let status = Arc::new(Status::new(&config.kind));
            let name = config.name.clone();
            tokio::spawn(Actor::new(config, inbox, Arc::clone(&status)).run());
            (
                name,
                Handle {
                    messages,
                    status,
                    next_id: AtomicU64::new(1),
                },
            )
        });
        Self {
            handles: handles.collect(),
            queue_limit,
            given_up: watch::Sender::new(false),
        }
    }

    /// Ends the wait of every request, those to come included: the daemon goes down.
    pub fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    /// Every token with what operators see of it.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.handles
            .iter()
            .map(|(name, handle)| (name.as_str(), handle.status.as_ref()))
    }

    /// One token's status.
    pub fn status(&self, token: &str) -> Option<&Status> {
        self.handles.get(token).map(|handle| handle.status.as_ref())
    }

    /// Has permitted messages signed, each by its key's token, all at the same time. The first error counts.
    pub async fn sign(&self, messages: Vec<ToBeSigned>) -> Result<Vec<Unverified>, CallError> {
        let pending: Vec<_> = messages
            .into_iter()
            .map(|message| {
                let permit = message.permit();
                let request = Outgoing::Sign {
                    key: permit.uri().clone(),
                    scheme: permit.scheme(),
                    input: message.input().clone(),
                };
                let call = self.submit(
                    permit.token(),
                    permit.principal(),
                    request,
                    permit.deadline(),
                );
                (message, call)
            })
            .collect();
        let mut signed = Vec::with_capacity(pending.len());
        for (message, call) in pending {
            let signature = call?.signature().await?;
            signed.push(message.answered(signature));
        }
        Ok(signed)
    }

    /// Has a checkpoint of our own log signed.
    pub async fn sign_checkpoint(
        &self,
        token: &str,
        checkpoint: &CheckpointToBeSigned,
    ) -> Result<Signature, CallError> {
        let request = Outgoing::Sign {
            key: checkpoint.uri().clone(),
            scheme: checkpoint.scheme(),
            input: checkpoint.input(),
        };
        let deadline = Instant::now() + CHECKPOINT_TIMEOUT;
        self.submit(token, CHECKPOINT_PRINCIPAL, request, deadline)?
            .signature()
            .await
    }

    /// Has a canary key show that its token signs.
    pub async fn sign_canary(&self, canary: &CanaryToBeSigned) -> Result<Signature, CallError> {
        let request = Outgoing::Sign {
            key: canary.uri().clone(),
            scheme: canary.scheme(),
            input: canary.input(),
        };
        let deadline = Instant::now() + CANARY_TIMEOUT;
        self.submit(canary.token(), CANARY_PRINCIPAL, request, deadline)?
            .signature()
            .await
    }

    /// Asks a driver what it says of one key.
    pub async fn describe(
        &self,
        token: &str,
        principal: &str,
        key: KeyUri,
        deadline: Instant,
    ) -> Result<KeyDescription, CallError> {
        let request = Outgoing::Plain(Call::Describe { key });
        self.submit(token, principal, request, deadline)?
            .key()
            .await
    }

    /// Has a driver make a key.
    pub async fn generate(
        &self,
        token: &str,
        principal: &str,
        spec: KeySpec,
        deadline: Instant,
    ) -> Result<KeyDescription, CallError> {
        let request = Outgoing::Plain(Call::Generate { spec });
        self.submit(token, principal, request, deadline)?
            .key()
            .await
    }

    /// Has a driver destroy the key with this fingerprint.
    pub async fn destroy(
        &self,
        token: &str,
        principal: &str,
        (key, spki_sha256): (KeyUri, Sha256Digest),
        deadline: Instant,
    ) -> Result<(), CallError> {
        let request = Outgoing::Plain(Call::Destroy { key, spki_sha256 });
        self.submit(token, principal, request, deadline)?
            .destroyed()
            .await
    }

    /// Asks a driver for evidence of one key's origin.
    pub async fn attest(
        &self,
        token: &str,
        principal: &str,
        key: KeyUri,
        nonce: Nonce,
        deadline: Instant,
    ) -> Result<RawEvidence, CallError> {
        let request = Outgoing::Plain(Call::Attest { key, nonce });
        self.submit(token, principal, request, deadline)?
            .evidence()
            .await
    }

    /// Has a driver answer a challenge that its evidence calls for.
    pub async fn activate(
        &self,
        token: &str,
        principal: &str,
        challenge: Challenge,
        deadline: Instant,
    ) -> Result<Vec<u8>, CallError> {
        let request = Outgoing::Plain(Call::Activate { challenge });
        self.submit(token, principal, request, deadline)?
            .activated()
            .await
    }

    fn submit(
        &self,
        token: &str,
        principal: &str,
        request: Outgoing,
        deadline: Instant,
    ) -> Result<Pending, CallError> {
        let unknown = || CallError::UnknownToken(token.to_owned());
        let handle = self.handles.get(token).ok_or_else(unknown)?;
        if !handle.status.enter_queue(self.queue_limit) {
            return Err(CallError::Busy {
                token: token.to_owned(),
                limit: self.queue_limit,
            });
        }
        let (reply, answer) = oneshot::channel();
        let id = handle.next_id.fetch_add(1, Ordering::Relaxed);
        let claim = Arc::new(Claim::default());
        let job = Job {
            id,
            principal: principal.to_owned(),
            request,
            deadline,
            claim: Arc::clone(&claim),
            reply,
        };
        handle
            .messages
            .send(Message::Job(job))
            .map_err(|_| CallError::Unavailable {
                token: token.to_owned(),
                reason: "the daemon is stopping".to_owned(),
            })?;
        let messages = handle.messages.clone();
        Ok(Pending {
            token: token.to_owned(),
            id,
            deadline,
            claim,
            answer,
            messages,
            given_up: self.given_up.subscribe(),
            is_answered: false,
        })
    }
}

/// A request that has been queued. Dropped without an answer it is withdrawn, or cancelled if it was sent.
struct Pending {
    token: String,
    id: u64,
    deadline: Instant,
    claim: Arc<Claim>,
    answer: oneshot::Receiver<Result<Answer, CallError>>,
    messages: mpsc::UnboundedSender<Message>,
    given_up: watch::Receiver<bool>,
    is_answered: bool,
}

impl Pending {
    async fn signature(self) -> Result<Signature, CallError> {
        let token = self.token.clone();
        match self.answer().await? {
            Answer::Signature(signature) => Ok(signature),
            _ => Err(wrong_answer(token)),
        }
    }

    async fn key(self) -> Result<KeyDescription, CallError> {
        let token = self.token.clone();
        match self.answer().await? {
            Answer::Key(description) => Ok(description),
            _ => Err(wrong_answer(token)),
        }
    }

    async fn evidence(self) -> Result<RawEvidence, CallError> {
        let token = self.token.clone();
        match self.answer().await? {
            Answer::Evidence(evidence) => Ok(evidence),
            _ => Err(wrong_answer(token)),
        }
    }

    async fn destroyed(self) -> Result<(), CallError> {
        let token = self.token.clone();
        match self.answer().await? {
            Answer::Destroyed => Ok(()),
            _ => Err(wrong_answer(token)),
        }
    }

    async fn activated(self) -> Result<Vec<u8>, CallError> {
        let token = self.token.clone();
        match self.answer().await? {
            Answer::Activated(answer) => Ok(answer),
            _ => Err(wrong_answer(token)),
        }
    }

    async fn answer(mut self) -> Result<Answer, CallError> {
        let token = self.token.clone();
        let stopping = || "the daemon is stopping".to_owned();
        let (lost, is_stopping) = tokio::select! {
            biased;
            answered = &mut self.answer => match answered {
                Ok(result) => {
                    self.is_answered = true;
                    return result;
                }
                // The actor drops a job only after its deadline, or with the daemon.
                Err(_) => (stopping(), false),
            },
            _ = self.given_up.wait_for(|given_up| *given_up) => (stopping(), true),
            () = tokio::time::sleep_until(self.deadline.into()) => {
                ("no answer before the deadline".to_owned(), false)
            }
        };
        match self.claim.abandon() {
            true if is_stopping => Err(CallError::Unavailable {
                token,
                reason: lost,
            }),
            true => Err(CallError::Expired(token)),
            false => Err(CallError::Lost {
                token,
                reason: lost,
            }),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_answered && !self.claim.abandon() {
            let _ = self.messages.send(Message::Cancel(self.id));
        }
    }
}

fn wrong_answer(token: String) -> CallError {
    CallError::Misbehaved {
        token,
        reason: "the answer is of another kind than the request".to_owned(),
    }
}
