//! Checkpoints: what the log key signs, at most once per interval, over durable records only.
//!
//! A checkpoint is on disk before anybody sees it. At start the newest one must agree with the tree made
//! from the journal: a log that is shorter or different than what was signed is not continued.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sealwright_core::record::LogKey;
use sealwright_core::scheme::Scheme;
use sealwright_core::sign::{CheckpointToBeSigned, Signature};
use sealwright_core::tlog::note::{NoteError, NoteSignature};
use sealwright_core::tlog::tree::TreeError;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Checkpoint, Hash, Note, VerifierKey};
use tokio::sync::watch;

use super::checkpoint_store::Store;
use super::tree::{Pending, TileError, Tree};
use crate::suspects::Suspects;
use crate::tokens::{CallError, Tokens};

/// A checkpoint that is durable and may be shown.
#[derive(Debug, Clone)]
pub struct Published {
    /// The signed note.
    pub note: String,
    /// Leaves it covers.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

/// Why no checkpoint came about, or why the stored one refuses the log.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The log is not the one that was signed.
    #[error(
        "{path} covers {size} records, and the journal {}. The log was cut or rewritten: it is not continued. `sealwrightd fsck` says more; `sealwrightd shard` lets a new log take its place (docs/runbooks/restore.md)",
        if *.shorter { "is shorter" } else { "has other ones" }
    )]
    Contradiction {
        /// The checkpoint.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// Whether the journal is shorter, as opposed to different.
        shorter: bool,
    },
    /// A stored checkpoint is none of ours.
    #[error("{path} is not a checkpoint of this log's key: {reason}")]
    Stored {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The log key cannot be a verifier key.
    #[error("the log key cannot sign checkpoints: {0}")]
    LogKey(String),
    /// The tiles failed.
    #[error(transparent)]
    Tree(#[from] TreeError<TileError>),
    /// The log token failed.
    #[error("the log token did not sign: {0}")]
    Token(#[from] CallError),
    /// What the log token returned does not verify.
    #[error("the log token returned a signature that does not verify: {0}")]
    Note(#[from] NoteError),
}

impl CheckpointError {
    /// Whether the token returned something that must not be believed.
    fn is_suspect(&self) -> bool {
        matches!(
            self,
            Self::Note(_) | Self::Token(CallError::Misbehaved { .. })
        )
    }
}

/// Signs checkpoints with the log key. The one exception to permit and record: it can sign nothing but a
/// checkpoint body of our own origin.
pub struct LogSigner {
    origin: String,
    key: LogKey,
    verifier_key: VerifierKey,
    tokens: Arc<Tokens>,
}

impl LogSigner {
    /// A signer for the log key of the genesis record.
    pub fn new(origin: &str, key: LogKey, tokens: Arc<Tokens>) -> Result<Self, CheckpointError> {
        let verifier_key = log_verifier_key(origin, &key)?;
        Ok(Self {
            origin: origin.to_owned(),
            key,
            verifier_key,
            tokens,
        })
    }

    /// The key that verifies this log's checkpoints.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier_key
    }

    async fn sign(&self, size: u64, root: Hash) -> Result<Published, CheckpointError> {
        let checkpoint = Checkpoint::new(&self.origin, size, root)
            .map_err(|e| CheckpointError::LogKey(e.to_string()))?;
        let to_be_signed = CheckpointToBeSigned::new(
            &self.origin,
            &checkpoint,
            self.key.uri.clone(),
            self.key.scheme,
        )
        .ok_or_else(|| CheckpointError::LogKey("the checkpoint has another origin".to_owned()))?;
        let signature = self
            .tokens
            .sign_checkpoint(&self.key.token, &to_be_signed)
            .await?;
        let raw = match signature {
            Signature::Raw(raw) => raw,
            Signature::WebAuthn(_) => {
                return Err(CheckpointError::LogKey(
                    "it answers with WebAuthn assertions".to_owned(),
                ));
            }
        };
        let encoded = sealwright_core::verify::encode_raw(self.key.scheme, raw)
            .map_err(|e| CheckpointError::LogKey(e.to_string()))?;
        let line = NoteSignature::new(self.verifier_key.name(), self.verifier_key.id(), encoded)?;
        let note = Note::new(to_be_signed.body().to_owned(), vec![line])?;
        note.verify([&self.verifier_key])?;
        Ok(Published {
            note: note.to_string(),
            size,
            root,
        })
    }
}

/// The C2SP verifier key of a log key: Ed25519 (type 1), or ECDSA P-256 (type 2).
pub fn log_verifier_key(origin: &str, key: &LogKey) -> Result<VerifierKey, CheckpointError> {
    let key = match key.scheme {
        // An Ed25519 SPKI is a fixed 12-byte prefix and the 32 bytes of the key (RFC 8410 section 4).
        Scheme::Ed25519 => {
            let der = key.spki.der();
            VerifierKey::new(origin, KeyType::Ed25519, der.get(12..).unwrap_or_default())
        }
        _ => VerifierKey::new(origin, KeyType::EcdsaP256, key.spki.der()),
    };
    key.map_err(|e| CheckpointError::LogKey(e.to_string()))
}

/// Makes a checkpoint whenever there is something new, at most one per interval.
pub struct Checkpointer {
    /// Signs.
    pub signer: Arc<LogSigner>,
    /// Keeps.
    pub store: Arc<Store>,
    /// The tree; this task is the only one that grows it.
    pub tree: Tree,
    /// Durable leaves that wait.
    pub pending: Arc<Pending>,
    /// Where readers see the newest one.
    pub published: watch::Sender<Option<Published>>,
    /// Where a log token that lies is marked.
    pub suspects: Suspects,
    /// Least time between two checkpoints.
    pub interval: Duration,
}

impl Checkpointer {
    /// Runs until the task is aborted.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "no checkpoint this time");
                if error.is_suspect() {
                    self.suspects
                        .mark(&self.signer.key.token, &error.to_string())
                        .await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), CheckpointError> {
        let taken = Instant::now();
        let (size, root) = tokio::task::block_in_place(|| self.tree.advance(&self.pending))?;
        let newest = self
            .published
            .borrow()
            .as_ref()
            .map_or(0, |published| published.size);
        if size == newest {
            return Ok(());
        }
        let published = self.signer.sign(size, root).await?;
        tokio::task::block_in_place(|| self.store.put(&published))?;
        self.pending.covered(taken);
        self.published.send_replace(Some(published));
        Ok(())
    }
}

/// A C2SP `tlog-proof` for one record; its `extra` line is base64 of salt ‖ body.
pub fn proof_text(
    index: u64,
    extra: Option<&[u8]>,
    hashes: &[Hash],
    checkpoint: &Published,
) -> String {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let extra = extra.map(|extra| format!("extra {}\n", encode(extra)));
    let mut text = format!(
        "c2sp.org/tlog-proof@v1\n{}index {index}\n",
        extra.unwrap_or_default()
    );
    for hash in hashes {
        text.push_str(&encode(hash));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&checkpoint.note);
    text
}
