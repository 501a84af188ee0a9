//! One checkpoint to one witness and its cosignature to the daemon.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use sealwright_client::{Client, ClientError, Settings};
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::{AddCheckpoint, Checkpoint, Hash, Note, VerifierKey, WitnessAnswer};

use crate::config::Witness;
use crate::evidence::stored_checkpoint;
use crate::http::{self, HttpError};
use crate::report::Outcome;

/// Requests to a witness in one round: each 409 names another size, and ours may have grown meanwhile.
const MAX_REQUESTS: usize = 4;

/// The log's newest checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    pub(crate) note: Note,
    pub(crate) checkpoint: Checkpoint,
}

/// Why the daemon's part of the work failed; no witness is to blame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the daemon's answer is not what its API promises: {0}; are both of the same release?")]
    Unexpected(String),
}

impl Newest {
    /// Asks the daemon, and checks that its own key signed: the daemon may be another one than we think.
    pub(crate) async fn fetch(client: &mut Client, log: &VerifierKey) -> Result<Self, DaemonError> {
        let text = client.checkpoint().await?;
        let unexpected = |e: &dyn std::fmt::Display| DaemonError::Unexpected(e.to_string());
        let note = Note::parse(&text).map_err(|e| unexpected(&e))?;
        note.verify([log]).map_err(|e| unexpected(&e))?;
        let lines = note.signatures().iter();
        let lines = lines.filter(|l| l.name() == log.name() && l.key_id() == log.id());
        // Witnesses want the log's signature; those of each other would only make the request longer.
        let note = Note::new(note.text().to_owned(), lines.cloned().collect());
        let note = note.map_err(|e| unexpected(&e))?;
        let checkpoint = note.text().parse();
        let checkpoint = checkpoint
            .map_err(|e: sealwright_core::tlog::checkpoint::CheckpointError| unexpected(&e))?;
        Ok(Self { note, checkpoint })
    }
}

/// A submission in progress.
pub(crate) struct Submission<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) witness: &'a Witness,
    pub(crate) log: &'a VerifierKey,
    pub(crate) newest: Newest,
    /// What the witness is believed to store: 0 at first, the 409 tells.
    pub(crate) stored: u64,
}

impl Submission<'_> {
    /// Goes on until the witness has cosigned, or there is an answer that ends it.
    pub(crate) async fn run(mut self) -> Result<Outcome, DaemonError> {
        let mut client = Client::connect(self.settings.clone()).await?;
        for _ in 0..MAX_REQUESTS {
            if self.stored > self.newest.checkpoint.size() {
                self.newest = Newest::fetch(&mut client, self.log).await?;
            }
            let size = self.newest.checkpoint.size();
            if self.stored > size {
                return Ok(self.rollback(size).await);
            }
            let answer = match self.ask(&mut client).await? {
                Ok(answer) => answer,
                Err(outcome) => return Ok(outcome),
            };
            match answer {
                WitnessAnswer::Cosigned(lines) => return self.deliver(&mut client, &lines).await,
                WitnessAnswer::Conflict(stored) if stored == self.stored => {
                    let detail = format!("it stores {stored}, as asked, and answers 409");
                    return Ok(Outcome::Garbage { detail });
                }
                WitnessAnswer::Conflict(stored) => self.stored = stored,
                WitnessAnswer::Inconsistent => return Ok(self.split_view().await),
                WitnessAnswer::UnknownOrigin => return Ok(Outcome::UnknownLog),
                WitnessAnswer::Unsigned => return Ok(Outcome::LogKeyRefused),
            }
        }
        let detail = format!("{MAX_REQUESTS} requests, each time it stores another size");
        Ok(Outcome::Garbage { detail })
    }

    async fn ask(
        &self,
        client: &mut Client,
    ) -> Result<Result<WitnessAnswer, Outcome>, DaemonError> {
        let proof = self.proof(client).await?;
        let request = AddCheckpoint::new(self.stored, proof, self.newest.note.clone());
        let request = request.map_err(|e| DaemonError::Unexpected(e.to_string()))?;
        let url = append(&self.witness.url, "add-checkpoint");
        let request = Request::post(url).body(Full::from(Bytes::from(request.to_string())));
        let request = request.map_err(|e| DaemonError::Unexpected(e.to_string()))?;
        let answer = match http::send(request, &self.witness.tls, self.witness.timeout).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(no_answer(&error))),
        };
        let read = WitnessAnswer::read(answer.status, answer.media_type.as_deref(), &answer.body);
        Ok(read.map_err(|error| Outcome::Garbage {
            detail: error.to_string(),
        }))
    }

    async fn proof(&self, client: &mut Client) -> Result<Vec<Hash>, DaemonError> {
        let size = self.newest.checkpoint.size();
        if self.stored == 0 || self.stored == size {
            return Ok(Vec::new());
        }
        let hash = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
        let hashes = client.consistency(self.stored, size).await?;
        let hashes: Option<Vec<Hash>> = hashes.iter().map(hash).collect();
        hashes.ok_or_else(|| DaemonError::Unexpected("a proof of other than hashes".to_owned()))
    }

    /// Takes the witness's own lines to the daemon, which verifies them again.
    async fn deliver(
        &self,
        client: &mut Client,
        lines: &[NoteSignature],
    ) -> Result<Outcome, DaemonError> {
        let is_its = |line: &&NoteSignature| {
            let keys = self.witness.key.witnesses().iter();
            keys.clone()
                .any(|key| key.name() == line.name() && key.id() == line.key_id())
        };
        let own: Vec<_> = lines.iter().filter(is_its).cloned().collect();
        let verified = self.witness.key.verify(self.newest.note.text(), &own);
        match verified {
            Ok(found) if !found.is_empty() => {}
            Ok(_) => {
                let detail = "200 with cosignatures of other keys than its own".to_owned();
                return Ok(Outcome::Garbage { detail });
            }
            Err(error) => {
                return Ok(Outcome::Garbage {
                    detail: error.to_string(),
                });
            }
        }
        let text: String = own.iter().map(NoteSignature::to_string).collect();
        let size = self.newest.checkpoint.size();
        match client.cosignatures(size, &text).await {
            Ok(taken) => Ok(Outcome::Cosigned {
                size,
                quorum: taken.quorum,
            }),
            Err(ClientError::Api(refusal)) if refusal.code == "cosignature_rejected" => {
                let detail = refusal.to_string();
                Ok(Outcome::RefusedByDaemon { detail })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn rollback(&self, ours: u64) -> Outcome {
        let evidence = stored_checkpoint(self.witness, self.log).await;
        let evidence = evidence.filter(|(_, theirs)| theirs.size() > ours);
        Outcome::Rollback {
            ours,
            theirs: self.stored,
            evidence: evidence.map(|(note, _)| note),
        }
    }

    async fn split_view(&self) -> Outcome {
        Outcome::SplitView {
            size: self.stored,
            evidence: stored_checkpoint(self.witness, self.log)
                .await
                .map(|(note, _)| note),
        }
    }
}

fn no_answer(error: &HttpError) -> Outcome {
    let detail = error.to_string();
    match error {
        HttpError::Connect { .. } => Outcome::Unreachable { detail },
        HttpError::Slow(_) => Outcome::Slow { detail },
        HttpError::Broken(_) | HttpError::TooLarge => Outcome::Garbage { detail },
    }
}

/// The URL of something below a prefix.
pub(crate) fn append(prefix: &Uri, path: &str) -> String {
    format!("{}/{path}", prefix.to_string().trim_end_matches('/'))
}
