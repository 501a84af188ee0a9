//! The cosigning key: a file of one line, `PRIVATE+KEY+<name>+<key id>+<base64(type ‖ seed)>`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::tlog::note::{NoteError, NoteSignature};
use sealwright_core::tlog::vkey::{KeyType, VkeyError};
use sealwright_core::tlog::{VerifierKey, cosignature};
use zeroize::Zeroizing;

/// Begins the line, as in Go's `note` package.
const PREFIX: &str = "PRIVATE+KEY+";

/// Bytes of an Ed25519 seed.
const SEED_BYTES: usize = 32;

/// Signs `cosignature/v1`.
pub(crate) struct CosignerKey {
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("{path}: {source}; `sealwright-witness keygen` makes a key file, and overwrites none")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0} holds no key: expected one line that `sealwright-witness keygen` wrote")]
    Shape(PathBuf),
    #[error(transparent)]
    Name(#[from] VkeyError),
    #[error("the system gave no random bytes")]
    Random,
    #[error(transparent)]
    Line(#[from] NoteError),
}

impl CosignerKey {
    /// Makes a key and its file, readable by its owner alone and synced.
    pub(crate) fn generate(name: &str, path: &Path) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        aws_lc_rs::rand::fill(seed.as_mut()).map_err(|_| KeyError::Random)?;
        let key = Self::from_seed(name, &seed, path)?;
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(key.line(&seed).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(key)
    }

    /// Reads what [`Self::generate`] wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
        let text = Zeroizing::new(text);
        let shape = || KeyError::Shape(path.to_owned());
        let (name, id, seed) = parse(text.trim_end_matches('\n')).ok_or_else(shape)?;
        let key = Self::from_seed(name, &seed, path)?;
        if hex::encode(key.public.id()) == id {
            Ok(key)
        } else {
            Err(shape())
        }
    }

    /// What verifies its cosignatures.
    pub(crate) fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The signature line over a checkpoint's text; `time` in Unix seconds.
    pub(crate) fn cosign(&self, time: u64, body: &str) -> Result<NoteSignature, KeyError> {
        let signature = self.pair.sign(cosignature::message(time, body).as_bytes());
        // An Ed25519 signature has 64 bytes; a shorter one would not verify.
        let mut raw = [0; 64];
        raw.iter_mut()
            .zip(signature.as_ref())
            .for_each(|(to, from)| *to = *from);
        let signature = cosignature::encode(time, &raw);
        let (name, id) = (self.public.name(), self.public.id());
        Ok(NoteSignature::new(name, id, signature)?)
    }

    fn from_seed(name: &str, seed: &[u8; SEED_BYTES], path: &Path) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        let pair = pair.map_err(|_| KeyError::Shape(path.to_owned()))?;
        let public = pair.public_key().as_ref();
        let public = VerifierKey::new(name, KeyType::CosignatureV1, public)?;
        Ok(Self { pair, public })
    }

    fn line(&self, seed: &[u8; SEED_BYTES]) -> Zeroizing<String> {
        let (name, id) = (self.public.name(), hex::encode(self.public.id()));
        let mut key = Zeroizing::new(vec![KeyType::CosignatureV1 as u8]);
        key.extend_from_slice(seed);
        let key = Zeroizing::new(STANDARD.encode(key.as_slice()));
        Zeroizing::new(format!("{PREFIX}{name}+{id}+{}\n", key.as_str()))
    }
}

/// Name, key id and seed.
fn parse(line: &str) -> Option<(&str, &str, Zeroizing<[u8; SEED_BYTES]>)> {
    let (name, rest) = line.strip_prefix(PREFIX)?.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let key = Zeroizing::new(STANDARD.decode(key).ok()?);
    let seed = key.strip_prefix(&[KeyType::CosignatureV1 as u8])?;
    Some((name, id, Zeroizing::new(seed.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sealwright_core::tlog::Note;

    use super::*;

    #[test]
    fn a_key_is_read_back_for_its_owner_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = CosignerKey::generate("w.example", &path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = CosignerKey::read(&path).unwrap();
        assert_eq!(read.public(), made.public());
        let line = read.cosign(7, "text\n").unwrap();
        let note = Note::new("text\n".into(), vec![line]).unwrap();
        assert_eq!(note.verify([made.public()]).unwrap()[0].time, Some(7));
        let again = CosignerKey::generate("w.example", &path);
        assert!(matches!(again, Err(KeyError::File { .. })));
    }

    #[test]
    fn a_changed_key_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        CosignerKey::generate("w", &path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [
            good.replace("+w+", "+v+"),
            good.replace("PRIVATE", "PUBLIC"),
            String::new(),
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = CosignerKey::read(&path).err().unwrap().to_string();
            assert!(error.contains("holds no key"), "{error}");
        }
    }
}
