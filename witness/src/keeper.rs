//! The one thread that decides, stores and signs: requests of a log are judged one after another.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};

use sealwright_core::tlog::add_checkpoint::{AddCheckpoint, Seen, WitnessRefusal};
use sealwright_core::tlog::{Note, VerifierKey};
use tokio::sync::oneshot;

use crate::config::KnownLog;
use crate::key::CosignerKey;
use crate::store::{Store, StoreError, Stored, log_id};

/// Requests that may wait for the thread; more are told to come again.
const QUEUE: usize = 64;

/// The thread's handle.
#[derive(Clone)]
pub(crate) struct Keeper(mpsc::SyncSender<Task>);

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The log is told why.
    #[error(transparent)]
    Refusal(#[from] WitnessRefusal),
    /// Too many requests wait.
    #[error("too many requests at once; try again in a second")]
    Busy,
    /// Nothing was cosigned; the reason is in this witness's log.
    #[error("this witness cannot store or sign now; nothing was cosigned")]
    Failed,
}

enum Task {
    Cosign(Box<AddCheckpoint>, oneshot::Sender<Result<String, Refused>>),
    Newest(String, oneshot::Sender<Option<String>>),
}

struct Log {
    keys: Vec<VerifierKey>,
    stored: Option<Stored>,
}

struct State {
    logs: HashMap<String, Log>,
    key: CosignerKey,
    store: Store,
}

impl Keeper {
    /// Loads what is stored of every log and starts the thread, which ends with the last handle.
    pub(crate) fn start(
        known: Vec<KnownLog>,
        key: CosignerKey,
        store: Store,
    ) -> Result<Self, StoreError> {
        let mut logs = HashMap::new();
        for KnownLog { origin, keys } in known {
            let all: Vec<_> = keys.iter().chain([key.public()]).collect();
            let stored = store.load(&origin, &all)?;
            let size = stored.as_ref().map_or(0, |stored| stored.seen.size);
            tracing::info!(origin, size, "log");
            logs.insert(origin, Log { keys, stored });
        }
        let mut state = State { logs, key, store };
        let (tasks, waiting) = mpsc::sync_channel(QUEUE);
        std::thread::spawn(move || {
            while let Ok(task) = waiting.recv() {
                state.run(task);
            }
        });
        Ok(Self(tasks))
    }

    /// The cosignature lines, once what they vouch for is durable.
    pub(crate) async fn cosign(&self, request: AddCheckpoint) -> Result<String, Refused> {
        let (answer, answered) = oneshot::channel();
        let task = Task::Cosign(Box::new(request), answer);
        self.0.try_send(task).map_err(|_| Refused::Busy)?;
        answered.await.unwrap_or(Err(Refused::Failed))
    }

    /// The newest checkpoint of the log with this [`log_id`].
    pub(crate) async fn newest(&self, log: &str) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let task = Task::Newest(log.to_owned(), answer);
        self.0.try_send(task).ok()?;
        answered.await.ok().flatten()
    }
}

impl State {
    fn run(&mut self, task: Task) {
        // A caller that is gone no longer wants its answer; what was stored stays stored.
        match task {
            Task::Cosign(request, answer) => {
                let _ = answer.send(self.cosign(&request));
            }
            Task::Newest(id, answer) => {
                let log = self.logs.iter().find(|(origin, _)| log_id(origin) == id);
                let note = log.and_then(|(_, log)| Some(log.stored.as_ref()?.note.clone()));
                let _ = answer.send(note);
            }
        }
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<String, Refused> {
        let origin = request.checkpoint().origin();
        let Some(log) = self.logs.get_mut(origin) else {
            return Err(WitnessRefusal::UnknownOrigin(origin.to_owned()).into());
        };
        let seen = log.stored.as_ref().map(|stored| &stored.seen);
        let seen = request.judge(&log.keys, seen)?;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(origin, %error, "nothing cosigned");
            Refused::Failed
        };
        let line = self.key.cosign(now(), request.note().text());
        let line = line.map_err(|e| failed(&e))?;
        let note = kept(request, &log.keys, &line).map_err(|e| failed(&e))?;
        // A crash from here to the answer: we have seen more than we said, which a log finds out by a 409.
        self.store.save(origin, &note).map_err(|e| failed(&e))?;
        let Seen { size, .. } = seen;
        log.stored = Some(Stored { seen, note });
        tracing::info!(origin, size, "cosigned");
        Ok(line.to_string())
    }
}

/// The note that is stored: signatures of nobody we know are left out.
fn kept(
    request: &AddCheckpoint,
    keys: &[VerifierKey],
    line: &sealwright_core::tlog::note::NoteSignature,
) -> Result<String, sealwright_core::tlog::note::NoteError> {
    let note = request.note();
    let known = |name: &str, id| keys.iter().any(|key| key.name() == name && key.id() == id);
    let lines = note.signatures().iter();
    let lines = lines.filter(|line| known(line.name(), line.key_id()));
    let lines = lines.chain([line]).cloned().collect();
    Ok(Note::new(note.text().to_owned(), lines)?.to_string())
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
