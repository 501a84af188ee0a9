//! What the witnesses vouched for: cosignatures verified here, whoever brought them, and the age of the quorum.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealwright_core::time::Timestamp;
use sealwright_core::tlog::checkpoint::CheckpointError as BodyError;
use sealwright_core::tlog::note::{NoteError, NoteSignature};
use sealwright_core::tlog::quorum::{Cosignature, CosignatureError, Quorum};
use sealwright_core::tlog::{Checkpoint, Note};
use tokio::sync::watch;

use super::checkpoint::{CheckpointError, Published};
use super::checkpoint_store::Store;

/// How far a witness's clock may be ahead of ours: a time beyond that would keep the quorum young for ever.
pub const MAX_AHEAD_S: u64 = 300;

/// Cosigned checkpoints that a start looks at per witness.
const LOOKED_AT: usize = 64;

/// The witnesses of this log and what they have said.
pub struct Witnesses {
    quorum: Quorum,
    store: Arc<Store>,
    /// The newest cosignature of each witness, by position in the quorum.
    newest: Mutex<Vec<Option<Vouched>>>,
    anchored: watch::Sender<Option<Anchored>>,
}

/// The newest checkpoint that one witness cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// Leaves.
    pub size: u64,
    /// When, in Unix seconds by the witness's clock.
    pub time: u64,
}

/// The newest checkpoint that has the quorum.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// Its note carries the cosignatures.
    pub published: Published,
    /// When it had the quorum, in Unix seconds.
    pub reached: u64,
}

/// Why cosignatures are not taken; nothing of the request is stored.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// No such checkpoint.
    #[error("no checkpoint of size {0} is kept")]
    UnknownCheckpoint(u64),
    /// The lines are none.
    #[error("not cosignature lines: {0}")]
    Lines(NoteError),
    /// One is not good.
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
    /// A clock is wrong.
    #[error(
        "{witness:?} cosigned {ahead} s in the future: compare its clock and this host's, {MAX_AHEAD_S} s are allowed"
    )]
    Ahead {
        /// The witness's key name.
        witness: String,
        /// Seconds.
        ahead: u64,
    },
    /// A file operation failed, or a stored file is damaged.
    #[error(transparent)]
    Store(#[from] CheckpointError),
}

/// What the accepted cosignatures brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The witnesses whose cosignature of this checkpoint is stored, by key name.
    pub witnesses: Vec<String>,
    /// Whether the checkpoint has the quorum.
    pub quorum: bool,
}

impl Witnesses {
    /// Looks up what an earlier run stored; a damaged cosignature is passed over and logged.
    pub fn open(quorum: Quorum, store: Arc<Store>) -> Result<Self, CheckpointError> {
        let this = Self {
            newest: Mutex::new(vec![None; quorum.witnesses().len()]),
            anchored: watch::Sender::default(),
            quorum,
            store,
        };
        let cosigned = this.store.cosigned_by(this.quorum.witnesses())?;
        let newest = cosigned
            .iter()
            .flat_map(|sizes| sizes.iter().take(LOOKED_AT));
        let mut sizes: Vec<u64> = newest.copied().collect();
        sizes.sort_unstable();
        sizes.dedup();
        for size in sizes {
            if let Err(error) = this.learn(size) {
                tracing::error!(%error, size, "stored cosignatures are passed over");
            }
        }
        Ok(this)
    }

    /// The configured witnesses.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Takes cosignatures of the checkpoint of `size`: each is verified, and durable when this returns.
    pub fn accept(&self, size: u64, lines: &str, now: Timestamp) -> Result<Accepted, WitnessError> {
        let unknown = WitnessError::UnknownCheckpoint(size);
        let note = self.store.note(size)?.ok_or(unknown)?;
        let (body, _) = parts(&note)?;
        let lines = NoteSignature::parse_lines(lines).map_err(WitnessError::Lines)?;
        let found = self.quorum.verify(&body, &lines)?;
        for cosignature in &found {
            self.check_time(cosignature, now.seconds())?;
        }
        self.store.show(size);
        for Cosignature { witness, line, .. } in &found {
            if let Some(key) = self.quorum.witnesses().get(*witness) {
                self.store.put_cosignature(size, key, line)?;
            }
        }
        self.learn(size)
    }

    /// `published` with the cosignatures it has so far.
    pub fn cosigned(&self, published: &Published) -> Published {
        let Ok((body, _)) = parts(&published.note) else {
            return published.clone();
        };
        Published {
            note: with_lines(&published.note, &self.stored(published.size, &body)),
            ..published.clone()
        }
    }

    /// The newest checkpoint that has the quorum.
    pub fn anchored(&self) -> Option<Anchored> {
        self.anchored.borrow().clone()
    }

    /// The same for those who wait for it.
    pub fn watch(&self) -> watch::Receiver<Option<Anchored>> {
        self.anchored.subscribe()
    }

    /// The newest cosignature of each witness, in the order of the configuration.
    pub fn newest(&self) -> Vec<Option<Vouched>> {
        self.lock().clone()
    }

    /// Seconds since the newest quorum; `None` where there is none, or where it lies so far in the future that
    /// this host's clock must have been set back.
    pub fn age(&self, now: Timestamp) -> Option<u64> {
        let reached = self.anchored.borrow().as_ref()?.reached;
        let now = now.seconds();
        (reached <= now.saturating_add(MAX_AHEAD_S)).then(|| now.saturating_sub(reached))
    }

    fn check_time(&self, cosignature: &Cosignature, now: u64) -> Result<(), WitnessError> {
        match cosignature.time.saturating_sub(now) {
            ahead if ahead > MAX_AHEAD_S => Err(WitnessError::Ahead {
                witness: cosignature.line.name().to_owned(),
                ahead,
            }),
            _ => Ok(()),
        }
    }

    /// Takes what is stored for `size` into memory.
    fn learn(&self, size: u64) -> Result<Accepted, WitnessError> {
        let unknown = WitnessError::UnknownCheckpoint(size);
        let note = self.store.note(size)?.ok_or(unknown)?;
        let (body, checkpoint) = parts(&note)?;
        let cosignatures = self.stored(size, &body);
        let reached = self.quorum.reached(&cosignatures);
        let published = Published {
            note: with_lines(&note, &cosignatures),
            size,
            root: *checkpoint.root(),
        };
        self.note_newest(size, &cosignatures);
        if let Some(reached) = reached {
            self.anchor(Anchored { published, reached });
        }
        Ok(Accepted {
            witnesses: cosignatures
                .iter()
                .map(|c| c.line.name().to_owned())
                .collect(),
            quorum: reached.is_some(),
        })
    }

    fn note_newest(&self, size: u64, cosignatures: &[Cosignature]) {
        let mut newest = self.lock();
        for Cosignature { witness, time, .. } in cosignatures {
            let vouched = Vouched { size, time: *time };
            if let Some(slot) = newest.get_mut(*witness)
                && slot.is_none_or(|have| (have.size, have.time) <= (size, *time))
            {
                *slot = Some(vouched);
            }
        }
    }

    /// A late quorum of an older checkpoint changes nothing.
    fn anchor(&self, anchored: Anchored) {
        let rank = |anchored: &Anchored| (anchored.published.size, anchored.reached);
        self.anchored.send_if_modified(|have| {
            let is_newer = have
                .as_ref()
                .is_none_or(|have| rank(have) <= rank(&anchored));
            if is_newer {
                *have = Some(anchored);
            }
            is_newer
        });
    }

    /// The stored cosignatures of a checkpoint, verified anew: nothing is believed for lying in our folder, and
    /// a damaged file takes away its own line only.
    fn stored(&self, size: u64, body: &str) -> Vec<Cosignature> {
        let mut good = Vec::new();
        for witness in self.quorum.witnesses() {
            match self.store.cosignature(size, witness) {
                Ok(None) => {}
                Ok(Some(line)) => match self.quorum.verify(body, &[line]) {
                    Ok(found) => good.extend(found),
                    Err(error) => tracing::error!(%error, size, "a stored cosignature is damaged"),
                },
                Err(error) => tracing::error!(%error, size, "a stored cosignature is damaged"),
            }
        }
        good
    }

    /// Held for a look or a change of memory, never over a file operation.
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Vouched>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text that is signed, and what it says.
fn parts(note: &str) -> Result<(String, Checkpoint), WitnessError> {
    let note = Note::parse(note).map_err(WitnessError::Lines)?;
    let checkpoint = note.text().parse();
    let checkpoint = checkpoint.map_err(|e: BodyError| CheckpointError::LogKey(e.to_string()))?;
    Ok((note.text().to_owned(), checkpoint))
}

fn with_lines(note: &str, cosignatures: &[Cosignature]) -> String {
    let lines = cosignatures.iter().map(|c| c.line.to_string());
    std::iter::once(note.to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use sealwright_core::tlog::vkey::KeyType;
    use sealwright_core::tlog::{VerifierKey, cosignature};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    struct Key {
        pair: Ed25519KeyPair,
        public: VerifierKey,
    }

    impl Key {
        fn new(name: &str, kind: KeyType, number: u8) -> Self {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
            let public = VerifierKey::new(name, kind, pair.public_key().as_ref()).unwrap();
            Self { pair, public }
        }

        fn line(&self, body: &str, time: Option<u64>) -> NoteSignature {
            let message = match time {
                Some(time) => cosignature::message(time, body),
                None => body.to_owned(),
            };
            let raw = self.pair.sign(message.as_bytes());
            let signature = match time {
                Some(time) => cosignature::encode(time, raw.as_ref().try_into().unwrap()),
                None => raw.as_ref().to_vec(),
            };
            NoteSignature::new(self.public.name(), self.public.id(), signature).unwrap()
        }
    }

    struct Setting {
        keys: [Key; 2],
        witnesses: Witnesses,
        store: Arc<Store>,
        _folder: tempfile::TempDir,
    }

    fn body(size: u64) -> String {
        Checkpoint::new("log", size, [7; 32]).unwrap().to_string()
    }

    /// Both of two witnesses are needed; there are checkpoints of 1 to 3 records.
    fn setting() -> Setting {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let log = Key::new("log", KeyType::Ed25519, 9);
        for size in 1..=3 {
            let note = Note::new(body(size), vec![log.line(&body(size), None)]).unwrap();
            let (note, root) = (note.to_string(), [7; 32]);
            store.put(&Published { note, size, root }).unwrap();
        }
        let keys = [1, 2].map(|number| Key::new("w", KeyType::CosignatureV1, number));
        let quorum = quorum(&keys);
        Setting {
            witnesses: Witnesses::open(quorum, Arc::clone(&store)).unwrap(),
            keys,
            store,
            _folder: folder,
        }
    }

    fn quorum(keys: &[Key; 2]) -> Quorum {
        let keys = keys.each_ref().map(|key| key.public.to_string());
        Quorum::new(&keys, 2).unwrap()
    }

    impl Setting {
        fn accept(&self, size: u64, times: [Option<u64>; 2]) -> Result<Accepted, WitnessError> {
            let lines = self.keys.iter().zip(times);
            let lines = lines.filter_map(|(key, time)| Some(key.line(&body(size), Some(time?))));
            let lines: String = lines.map(|line| line.to_string()).collect();
            self.witnesses.accept(size, &lines, at(NOW))
        }

        fn anchored(&self) -> Option<(u64, u64)> {
            let anchored = self.witnesses.anchored()?;
            Some((anchored.published.size, anchored.reached))
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(i64::try_from(seconds).unwrap() * 1000)
    }

    #[test]
    fn the_quorum_comes_about_one_by_one_and_survives_a_restart() {
        let setting = setting();
        assert!(!setting.accept(2, [Some(NOW - 30), None]).unwrap().quorum);
        assert_eq!(setting.witnesses.age(at(NOW)), None);
        assert!(setting.accept(2, [None, Some(NOW - 10)]).unwrap().quorum);
        assert_eq!(setting.anchored(), Some((2, NOW - 30)));
        assert_eq!(setting.witnesses.age(at(NOW)), Some(30));
        let again = Witnesses::open(quorum(&setting.keys), Arc::clone(&setting.store)).unwrap();
        assert_eq!(again.age(at(NOW)), Some(30));
        let note = again.anchored().unwrap().published.note;
        assert_eq!(Note::parse(&note).unwrap().signatures().len(), 3);
        assert_eq!(again.newest(), setting.witnesses.newest());
    }

    #[test]
    fn a_late_cosignature_of_an_older_checkpoint_does_not_take_the_newer_ones_place() {
        let setting = setting();
        setting.accept(3, [Some(NOW - 20); 2]).unwrap();
        setting.accept(1, [Some(NOW); 2]).unwrap();
        assert_eq!(setting.anchored(), Some((3, NOW - 20)));
        setting.accept(3, [Some(NOW); 2]).unwrap();
        assert_eq!(setting.anchored(), Some((3, NOW)));
    }

    #[test]
    fn a_clock_that_is_far_ahead_is_not_believed_whosever_it_is() {
        let setting = setting();
        let ahead = NOW + MAX_AHEAD_S;
        let refused = setting.accept(1, [Some(NOW), Some(ahead + 1)]).unwrap_err();
        assert!(
            matches!(refused, WitnessError::Ahead { ahead: 301, .. }),
            "{refused}"
        );
        assert_eq!(
            setting.witnesses.newest(),
            [None; 2],
            "nothing of it was stored"
        );
        setting.accept(1, [Some(ahead); 2]).unwrap();
        assert_eq!(setting.witnesses.age(at(NOW)), Some(0));
        assert_eq!(
            setting.witnesses.age(at(NOW - 1)),
            None,
            "this host's clock went back"
        );
        assert_eq!(
            setting.witnesses.age(at(NOW + 31_536_000)),
            Some(31_536_000 - MAX_AHEAD_S)
        );
    }

    #[test]
    fn one_bad_line_stores_nothing_and_an_unknown_size_is_named() {
        let setting = setting();
        let good = setting.keys[0].line(&body(1), Some(NOW)).to_string();
        let other = setting.keys[1].line(&body(2), Some(NOW)).to_string();
        let refused = setting
            .witnesses
            .accept(1, &(good.clone() + &other), at(NOW));
        assert!(matches!(refused, Err(WitnessError::Cosignature(_))));
        assert_eq!(setting.witnesses.newest(), [None; 2]);
        let unknown = setting.witnesses.accept(4, &good, at(NOW));
        assert!(matches!(unknown, Err(WitnessError::UnknownCheckpoint(4))));
    }
}
