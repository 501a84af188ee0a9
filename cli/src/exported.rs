//! An exported log: what lies in its folder, and whether it is what the log signed.
//!
//! Beside the C2SP files (`checkpoint`, `tile/…`) it holds `log.vkey`, which nobody has to believe, and unless
//! only leaves were wanted `records.jsonl`: each record as the API gives it, with the salt that ties it to its
//! leaf.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_client::RecordView;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::json::{self, JsonError};
use sealwright_core::record::{Leaf, Record, SALT_LEN};
use sealwright_core::tlog::exported::{CheckedLog, ExportedError, Files, check};
use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::{Hash, Policy};
use serde::Serialize;

use crate::files::{self, FileError};
use crate::proof::{self, Recorded};

/// The log's key, one vkey line.
pub(crate) const LOG_KEY: &str = "log.vkey";
/// The records, one in a line.
pub(crate) const RECORDS: &str = "records.jsonl";
/// Longest line of [`RECORDS`] in bytes: a record with its leaf, and room for base64 and names.
const LINE_MAX: u64 = 1 << 20;

/// Why an exported log does not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Log(#[from] ExportedError<FileError>),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{RECORDS}, line {line}: {reason}")]
    Line { line: u64, reason: BadLine },
}

/// Why a line holds no record of this log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadLine {
    #[error("it is longer than {LINE_MAX} bytes, or the file ends inside it")]
    Length,
    #[error("it is no record as the API gives it: {0}")]
    View(serde_json::Error),
    #[error("the record cannot be read: {0}")]
    Record(JsonError),
    #[error("the salt is not {SALT_LEN} bytes in base64")]
    Salt,
    #[error(
        "record {0} is not what was logged under that number: body, salt or number was changed"
    )]
    NotLogged(u64),
}

/// What was checked.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// The log.
    pub(crate) origin: String,
    /// Its entries, all of them in the signed tree.
    pub(crate) size: u64,
    /// Records whose bodies are there and are what was logged.
    pub(crate) records: u64,
    /// Records that are in the log without a body: it was erased, or archived.
    pub(crate) without_body: u64,
    /// Witnesses that cosigned the checkpoint.
    pub(crate) cosigners: Vec<String>,
}

/// The folder of an export.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Files for Folder {
    type Error = FileError;

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        files::read(&self.0.join(path))
    }
}

impl Folder {
    /// Checks every file. With `envelope`, also finds the record of the envelope with that digest.
    pub(crate) fn check(
        &self,
        policy: &Policy,
        envelope: Option<Sha256Digest>,
    ) -> Result<(Checked, Option<Recorded>), ExportError> {
        let CheckedLog { witnessed, leaves } = check(self, policy)?;
        let (mut records, mut without_body, mut found) = (0, 0, None);
        self.each_record(&leaves, |record| {
            let Some(record) = record else {
                without_body += 1;
                return;
            };
            records += 1;
            match proof::signature(&record) {
                Ok(signed) if envelope.is_some() && signed.envelope_sha256 == envelope => {
                    found = Some(proof::recorded(&record, signed, &witnessed, policy));
                }
                _ => {}
            }
        })?;
        let cosigners = witnessed.cosigners.into_iter();
        let checked = Checked {
            origin: witnessed.checkpoint.origin().to_owned(),
            size: witnessed.checkpoint.size(),
            records,
            without_body,
            cosigners: cosigners.map(|cosigner| cosigner.name).collect(),
        };
        Ok((checked, found))
    }

    /// Every record that is there; none where only leaves were exported.
    fn each_record(
        &self,
        leaves: &[Hash],
        mut look: impl FnMut(Option<Record>),
    ) -> Result<(), ExportError> {
        let path = self.0.join(RECORDS);
        if !path.exists() {
            return Ok(());
        }
        let failed = |source| FileError::Read {
            path: path.clone(),
            source,
        };
        let mut file = BufReader::new(File::open(&path).map_err(failed)?);
        for number in 1.. {
            let mut line = String::new();
            let mut limited = (&mut file).take(LINE_MAX);
            if limited.read_line(&mut line).map_err(failed)? == 0 {
                break;
            }
            let bad = |reason| ExportError::Line {
                line: number,
                reason,
            };
            look(logged(&line, leaves).map_err(bad)?);
        }
        Ok(())
    }
}

/// The record in a line, or none where it has no body, if its leaf is the one in the log.
fn logged(line: &str, leaves: &[Hash]) -> Result<Option<Record>, BadLine> {
    let line = line.strip_suffix('\n').ok_or(BadLine::Length)?;
    let view: RecordView = serde_json::from_str(line).map_err(BadLine::View)?;
    let stands_at = usize::try_from(view.index).ok().and_then(|i| leaves.get(i));
    let is_logged = |leaf: &[u8]| stands_at == Some(&leaf_hash(leaf));
    let Some(body) = &view.record else {
        let leaf = view.leaf.as_bytes();
        return match is_logged(leaf) {
            true => Ok(None),
            false => Err(BadLine::NotLogged(view.index)),
        };
    };
    let body = body.get().as_bytes();
    let record: Record = json::from_slice(body).map_err(BadLine::Record)?;
    let salt = STANDARD.decode(view.salt.unwrap_or_default()).ok();
    let salt = salt.and_then(|salt| salt.try_into().ok());
    let salt = salt.ok_or(BadLine::Salt)?;
    let leaf = Leaf::new(view.index, record.time, record.event.kind(), &salt, body).to_bytes();
    if is_logged(&leaf) && record.seq == view.index {
        Ok(Some(record))
    } else {
        Err(BadLine::NotLogged(view.index))
    }
}

/// Whether the folder at `path` can be one of the log of `key`, or is not there yet.
pub(crate) fn is_of(path: &Path, key: &str) -> Result<bool, FileError> {
    let known = path.join(LOG_KEY);
    if !known.exists() {
        return Ok(true);
    }
    Ok(files::read_text(&known)?.trim_end() == key.trim_end())
}
