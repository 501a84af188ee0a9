//! Closed segments as compressed files with a manifest each, verified before they count.
//!
//! What is archived can be put back byte for byte, which is what the journal's errors ask for. What of it may then be
//! removed from the journal, see [`super::removal`].

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::{Chain, End};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::disk::Disk;
use super::reader::SegmentReader;
use super::recovery::{RecoveryError, next_header, segment_name, segments};
use super::stubs::Stub;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;
/// Of zstd: records compress to about a third at any level.
const LEVEL: i32 = 3;

/// What is known of an archived segment; `<segment>.json` beside `<segment>.zst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its number.
    pub segment: u64,
    /// The chain before its first batch.
    pub from: Chain,
    /// The chain after its last.
    pub to: Chain,
    /// Bytes of the segment.
    pub bytes: u64,
    /// SHA-256 of the segment.
    pub sha256: Sha256Digest,
    /// SHA-256 of the compressed file.
    pub zst_sha256: Sha256Digest,
}

/// Why a segment was not archived. The segment is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The journal is not sound.
    #[error(transparent)]
    Journal(#[from] RecoveryError),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written does not read back.
    #[error(
        "{0} does not unpack to the segment it was made of: look at the disk it lies on, then try again"
    )]
    Unsound(PathBuf),
    /// An archived segment is not the one that its manifest describes.
    #[error(
        "{0} does not unpack to the segment that the manifest beside it describes: look for another copy"
    )]
    NotDescribed(PathBuf),
    /// The archive holds another segment of this number.
    #[error(
        "{0} is about another segment than the journal's: archive to a folder of this log alone, and run `sealwrightd fsck`"
    )]
    Other(PathBuf),
}

/// Archives every closed segment that is not yet in `to`, and verifies those that are; returns all manifests.
/// `progress` is told each segment's number.
pub fn archive(
    disk: &dyn Disk,
    journal: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Manifest>, ArchiveError> {
    std::fs::create_dir_all(to).map_err(at(to))?;
    let numbers = segments(disk, journal)?;
    let closed = numbers.len().saturating_sub(1);
    let (mut chain, mut manifests) = (Chain::default(), Vec::new());
    for number in numbers.into_iter().take(closed) {
        let manifest = archive_one(disk, journal, to, number, chain)?;
        chain = manifest.to;
        progress(number);
        manifests.push(manifest);
    }
    Ok(manifests)
}

fn archive_one(
    disk: &dyn Disk,
    journal: &Path,
    to: &Path,
    number: u64,
    from: Chain,
) -> Result<Manifest, ArchiveError> {
    let name = segment_name(number);
    let (zst, json) = (
        to.join(format!("{name}.zst")),
        to.join(format!("{name}.json")),
    );
    let end = check(disk, journal, number, from)?;
    if let Some(stub) = Stub::read(disk, number).map_err(at(&journal.join(&name)))? {
        return verify_removed(stub, &zst);
    }
    let (sha256, bytes) = copy(disk, &name, &mut io::sink()).map_err(at(&journal.join(&name)))?;
    let known = read_manifest(&json).map_err(at(&json))?;
    if known
        .as_ref()
        .is_some_and(|known| (known.from, known.to) != (from, end))
    {
        return Err(ArchiveError::Other(json));
    }
    // The same segment in other bytes: bodies were erased since, and go from the archive, too.
    let known = known.filter(|known| known.sha256 == sha256);
    if known.is_none() {
        pack(disk, &name, &zst).map_err(at(&zst))?;
    }
    let (unpacked, zst_sha256) = unpack(&zst).map_err(at(&zst))?;
    if unpacked != sha256 {
        return Err(ArchiveError::Unsound(zst));
    }
    let manifest = Manifest {
        segment: number,
        from,
        to: end,
        bytes,
        sha256,
        zst_sha256,
    };
    match known {
        None => write_manifest(&json, &manifest).map_err(at(&json))?,
        Some(known) if known != manifest => return Err(ArchiveError::Other(json)),
        Some(_) => {}
    }
    Ok(manifest)
}

/// The journal has no bodies of the segment any more: the archive's copy, if it is in this folder, must be what was
/// removed.
fn verify_removed(stub: Stub, zst: &Path) -> Result<Manifest, ArchiveError> {
    let manifest = stub.manifest;
    if zst.exists() {
        let unpacked = unpack(zst).map_err(at(zst))?;
        if unpacked != (manifest.sha256, manifest.zst_sha256) {
            return Err(ArchiveError::Unsound(zst.to_owned()));
        }
    }
    Ok(manifest)
}

/// Whether the segment is sound from its header to its end; the chain after it.
fn check(disk: &dyn Disk, journal: &Path, number: u64, from: Chain) -> Result<Chain, ArchiveError> {
    let (name, path) = (segment_name(number), journal.join(segment_name(number)));
    let header = next_header(disk, journal, number, from)?;
    let mut reader = SegmentReader::new(disk, &name, &header);
    while reader.batch().map_err(at(&path))?.is_some() {}
    match reader.end().map_err(at(&path))? {
        End::Clean { .. } => Ok(reader.chain()),
        End::Torn { offset, why, .. } | End::Corrupt { offset, why } => {
            Err(RecoveryError::Corrupt { path, offset, why }.into())
        }
    }
}

/// Writes the segment to `out`; its digest and length.
fn copy(disk: &dyn Disk, name: &str, out: &mut dyn Write) -> io::Result<(Sha256Digest, u64)> {
    let (mut hash, mut at) = (Sha256::new(), 0);
    loop {
        let piece = disk.read(name, at, PIECE)?;
        if piece.is_empty() {
            return Ok((Sha256Digest(hash.finalize().into()), at));
        }
        hash.update(&piece);
        out.write_all(&piece)?;
        at += piece.len() as u64;
    }
}

/// Without its manifest the file does not count, so a crash leaves nothing that is believed.
fn pack(disk: &dyn Disk, name: &str, zst: &Path) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(File::create(zst)?, LEVEL)?;
    copy(disk, name, &mut encoder)?;
    encoder.finish()?.sync_all()
}

/// Digests of what the file unpacks to, and of the file.
fn unpack(zst: &Path) -> io::Result<(Sha256Digest, Sha256Digest)> {
    let digest = |mut from: Box<dyn io::Read>| -> io::Result<Sha256Digest> {
        let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            match from.read(&mut piece)? {
                0 => return Ok(Sha256Digest(hash.finalize().into())),
                n => hash.update(piece.get(..n).unwrap_or_default()),
            }
        }
    };
    let unpacked = digest(Box::new(zstd::Decoder::new(File::open(zst)?)?))?;
    Ok((unpacked, digest(Box::new(File::open(zst)?))?))
}

/// The segment `name` out of the archive, if it is the one that its manifest describes.
///
/// # Errors
/// [`ArchiveError`]: there is no such pair of files, or the segment is another one.
pub fn restored(archive: &Path, name: &str) -> Result<Vec<u8>, ArchiveError> {
    let json = archive.join(format!("{name}.json"));
    let zst = archive.join(format!("{name}.zst"));
    let manifest = read_manifest(&json).map_err(at(&json))?;
    let manifest = manifest.ok_or_else(|| at(&json)(io::ErrorKind::NotFound.into()))?;
    let mut bytes = Vec::new();
    let mut unpack = || -> io::Result<usize> {
        let packed = zstd::Decoder::new(File::open(&zst)?)?;
        // A file that unpacks to more is none of ours, and could fill the memory.
        packed
            .take(manifest.bytes.saturating_add(1))
            .read_to_end(&mut bytes)
    };
    unpack().map_err(at(&zst))?;
    if Sha256Digest::of(&[&bytes]) != manifest.sha256 {
        return Err(ArchiveError::NotDescribed(zst));
    }
    Ok(bytes)
}

fn read_manifest(path: &Path) -> io::Result<Option<Manifest>> {
    match std::fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Some(serde_json::from_slice(&bytes?)?)),
    }
}

fn write_manifest(path: &Path, manifest: &Manifest) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> ArchiveError {
    move |source| ArchiveError::Io {
        path: path.to_owned(),
        source,
    }
}
