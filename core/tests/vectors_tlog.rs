//! Runs the vectors of Merkle trees, signed notes and log proofs; see `support` for how they are found.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode as _, Document};
use sealwright_core::tlog::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use sealwright_core::tlog::prove::{consistency_proof, inclusion_proof};
use sealwright_core::tlog::tree::{TileReader, TileSource, append};
use sealwright_core::tlog::vkey::{KeyType, key_hash, key_id};
use sealwright_core::tlog::{
    Checkpoint, Frontier, Hash, Note, Policy, Tile, TlogProof, VerifierKey,
};
use serde::Deserialize;
use spki::SubjectPublicKeyInfoRef;
use support::{Tally, judge};

#[test]
fn merkle_generated() {
    let Some(dir) = support::folder("merkle-generated") else {
        return;
    };
    let mut tally = Tally::new("merkle-generated");
    tally.only(&dir, &["vectors.json", "ct-reference-tree.json"]);
    let vectors: Trees = support::json(&dir.join("vectors.json"));
    let log = vectors.log();
    roots(&mut tally, "roots", &vectors.roots, &log.leaves);
    for (number, case) in vectors.inclusion.iter().enumerate() {
        tally.case(format!("inclusion/{number}"), case.run(&log));
    }
    for (number, case) in vectors.consistency.iter().enumerate() {
        tally.case(format!("consistency/{number}"), case.run(&log));
    }
    let reference = dir.join("ct-reference-tree.json");
    if reference.is_file() {
        let tree: ReferenceTree = support::json(&reference);
        let leaf = |text: &String| leaf_hash(&hex::decode(text).expect("leaves_hex is hex"));
        let leaves: Vec<_> = tree.leaves_hex.iter().map(leaf).collect();
        roots(&mut tally, "ct-reference-tree", &tree.roots, &leaves);
    }
    tally.finish();
}

#[test]
fn merkle_transparency_dev() {
    let Some(dir) = support::folder("merkle-transparency-dev") else {
        return;
    };
    let mut tally = Tally::new("merkle-transparency-dev");
    for file in support::files(&dir) {
        let path = dir.join(&file);
        match file.split_once('/') {
            Some(("inclusion", _)) => {
                let case: UpstreamInclusion = support::json(&path);
                tally.case(&file, judge(!case.want_err, case.verify()));
            }
            Some(("consistency", _)) => {
                let case: UpstreamConsistency = support::json(&path);
                tally.case(&file, judge(!case.want_err, case.verify()));
            }
            // An optional extension that no format of ours uses.
            Some(("subtreeinclusion" | "subtreeconsistency", _)) => {}
            _ => tally.unknown_file(&file),
        }
    }
    tally.finish();
}

#[test]
fn signed_notes() {
    let Some(dir) = support::folder("signed-notes") else {
        return;
    };
    let mut tally = Tally::new("signed-notes");
    let files = [
        "notes.json",
        "vkeys.json",
        "checkpoint-parse.json",
        "checkpoint-key-ids.json",
    ];
    tally.only(&dir, &files);
    for case in cases::<NoteCase>(&dir, "notes.json") {
        tally.case(format!("notes/{}", case.name), case.run());
    }
    for case in cases::<VkeyCase>(&dir, "vkeys.json") {
        let outcome = judge(case.valid, case.vkey.parse::<VerifierKey>());
        tally.case(format!("vkeys/{}", case.name), outcome);
    }
    for case in cases::<CheckpointCase>(&dir, "checkpoint-parse.json") {
        let accept = matches!(case.strict_verdict, Verdict::Accept);
        let outcome = judge(accept, case.body.parse::<Checkpoint>());
        tally.case(format!("checkpoint-parse/{}", case.name), outcome);
    }
    for (number, case) in cases::<KeyIdCase>(&dir, "checkpoint-key-ids.json")
        .iter()
        .enumerate()
    {
        tally.case(format!("checkpoint-key-ids/{number}"), case.run());
    }
    tally.finish();
}

#[test]
fn tlog_proofs() {
    let Some(dir) = support::folder("tlog-proofs") else {
        return;
    };
    let mut tally = Tally::new("tlog-proofs");
    tally.only(&dir, &["cases.json", "parse.json"]);
    for case in cases::<ProofCase>(&dir, "cases.json") {
        let outcome = judge(case.valid, case.verify());
        tally.case(format!("cases/{}", case.name), outcome);
    }
    for case in cases::<FramingCase>(&dir, "parse.json") {
        let outcome = judge(case.parses, case.text.parse::<TlogProof>());
        tally.case(format!("parse/{}", case.name), outcome);
    }
    tally.finish();
}

fn cases<T: serde::de::DeserializeOwned>(dir: &Path, file: &str) -> Vec<T> {
    support::json(&dir.join(file))
}

/// The roots of the first leaves, by their number.
type Roots = BTreeMap<String, String>;

fn roots(tally: &mut Tally, name: &str, roots: &Roots, leaves: &[Hash]) {
    for (size, root) in roots {
        let count: usize = size.parse().expect("a size is a number");
        let mut frontier = Frontier::new();
        for leaf in &leaves[..count] {
            frontier.push(*leaf);
        }
        let found = hex::encode(frontier.root());
        let outcome = same("the root", &found, root);
        tally.case(format!("{name}/{size}"), outcome);
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what} is {found:?}, expected {expected:?}"))
    }
}

fn from_hex(text: &str) -> Result<Hash, String> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash)
        .map_err(|e| format!("{text:?} is no hash: {e}"))
        .map(|()| hash)
}

fn from_base64(text: &str) -> Result<Hash, String> {
    let bytes = STANDARD.decode(text).map_err(|e| e.to_string())?;
    bytes
        .try_into()
        .map_err(|_| format!("{text:?} is no hash of 32 bytes"))
}

/// `merkle-generated/vectors.json`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trees {
    leaf_rule: String,
    roots: Roots,
    inclusion: Vec<Inclusion>,
    consistency: Vec<Consistency>,
}

#[derive(Deserialize)]
struct Inclusion {
    index: u64,
    size: u64,
    proof: Vec<String>,
    root: String,
    valid: bool,
}

#[derive(Deserialize)]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Vec<String>,
    valid: bool,
}

/// `merkle-generated/ct-reference-tree.json`
#[derive(Deserialize)]
struct ReferenceTree {
    leaves_hex: Vec<String>,
    roots: Roots,
}

/// The log that the leaf rule describes, and its tiles.
struct Log {
    prefix: String,
    leaves: Vec<Hash>,
    tiles: BTreeMap<Tile, Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
#[error("no such tile")]
struct NoTile;

impl TileSource for &Log {
    type Error = NoTile;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, NoTile> {
        // Tiles of smaller trees are the beginnings of those of the whole log.
        let (widest, bytes) = self.tiles.range(tile..).next().ok_or(NoTile)?;
        if (widest.level, widest.index) != (tile.level, tile.index) {
            return Err(NoTile);
        }
        Ok(bytes.clone())
    }
}

impl Trees {
    /// All leaves that a case needs, in one log.
    fn log(&self) -> Log {
        let prefix = self.leaf_rule.split("<i>").next().unwrap_or_default();
        let prefix = prefix.rsplit([' ', '\'', '"', '`']).next();
        let prefix = prefix.unwrap_or_default().to_owned();
        assert!(!prefix.is_empty(), "leafRule must be like leaf-<tag>-<i>");
        let sizes = self.roots.keys().map(|k| k.parse().expect("a number"));
        let valid = self.inclusion.iter().filter(|c| c.valid).map(|c| c.size);
        let newer = self.consistency.iter().filter(|c| c.valid).map(|c| c.size2);
        let size = sizes.chain(valid).chain(newer).max().unwrap_or(0);
        let mut log = Log {
            prefix,
            leaves: Vec::new(),
            tiles: BTreeMap::new(),
        };
        log.leaves = (0..size).map(|index| log.leaf(index)).collect();
        log.tiles = append(0, &log.leaves, &&log)
            .expect("nothing is read for an empty log")
            .into_iter()
            .map(|new| (new.tile, new.bytes))
            .collect();
        log
    }
}

impl Log {
    fn leaf(&self, index: u64) -> Hash {
        leaf_hash(format!("{}{index}", self.prefix).as_bytes())
    }
}

impl Inclusion {
    /// Judges the proof; a valid one must also be the one that is made from tiles.
    fn run(&self, log: &Log) -> Result<(), String> {
        judge(self.valid, self.verify(log))?;
        if self.valid {
            let reader = TileReader::new(log, self.size);
            let made = inclusion_proof(self.index, self.size, &reader);
            let made = made.map_err(|e| e.to_string())?;
            same("the proof", &encoded(&made), &self.proof)?;
        }
        Ok(())
    }

    fn verify(&self, log: &Log) -> Result<(), String> {
        let leaf = log.leaf(self.index);
        let root = from_hex(&self.root)?;
        verify_inclusion(&leaf, self.index, self.size, &hashes(&self.proof)?, &root)
            .map_err(|e| e.to_string())
    }
}

impl Consistency {
    /// Judges the proof; a valid one must also be the one that is made from tiles.
    fn run(&self, log: &Log) -> Result<(), String> {
        judge(self.valid, self.verify())?;
        if self.valid {
            let reader = TileReader::new(log, self.size2);
            let made = consistency_proof(self.size1, self.size2, &reader);
            let made = made.map_err(|e| e.to_string())?;
            same("the proof", &encoded(&made), &self.proof)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), String> {
        let (root1, root2) = (from_hex(&self.root1)?, from_hex(&self.root2)?);
        let proof = hashes(&self.proof)?;
        verify_consistency(self.size1, self.size2, &root1, &root2, &proof)
            .map_err(|e| e.to_string())
    }
}

fn hashes(proof: &[String]) -> Result<Vec<Hash>, String> {
    proof.iter().map(|hash| from_hex(hash)).collect()
}

fn encoded(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(hex::encode).collect()
}

/// A file of `merkle-transparency-dev/inclusion`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpstreamInclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

impl UpstreamInclusion {
    fn verify(&self) -> Result<(), String> {
        let (leaf, root) = (from_base64(&self.leaf_hash)?, from_base64(&self.root)?);
        let proof = upstream_proof(self.proof.as_deref())?;
        verify_inclusion(&leaf, self.leaf_idx, self.tree_size, &proof, &root)
            .map_err(|e| e.to_string())
    }
}

/// A file of `merkle-transparency-dev/consistency`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpstreamConsistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

impl UpstreamConsistency {
    fn verify(&self) -> Result<(), String> {
        let (root1, root2) = (opaque_root(&self.root1)?, opaque_root(&self.root2)?);
        let proof = upstream_proof(self.proof.as_deref())?;
        verify_consistency(self.size1, self.size2, &root1, &root2, &proof)
            .map_err(|e| e.to_string())
    }
}

/// A root that may be a placeholder of another length, as in cases that never compute one: it keeps what
/// matters there, being equal to itself and to nothing else.
fn opaque_root(text: &str) -> Result<Hash, String> {
    let bytes = STANDARD.decode(text).map_err(text_of)?;
    Ok(Hash::try_from(&bytes[..]).unwrap_or_else(|_| leaf_hash(&bytes)))
}

/// `null` stands for the empty proof.
fn upstream_proof(proof: Option<&[String]>) -> Result<Vec<Hash>, String> {
    let proof = proof.unwrap_or_default();
    proof.iter().map(|hash| from_base64(hash)).collect()
}

/// `signed-notes/notes.json`
#[derive(Deserialize)]
struct NoteCase {
    name: String,
    vkeys: Vec<String>,
    note: String,
    accept: bool,
    #[serde(default)]
    verified: BTreeSet<String>,
}

impl NoteCase {
    fn run(&self) -> Result<(), String> {
        let names = self.verify();
        judge(self.accept, names.as_ref())?;
        match names {
            Ok(names) => same("the set of key names", &names, &self.verified),
            Err(_) => Ok(()),
        }
    }

    fn verify(&self) -> Result<BTreeSet<String>, String> {
        let keys = self.vkeys.iter().map(|vkey| vkey.parse());
        let keys: Vec<VerifierKey> = keys.collect::<Result<_, _>>().map_err(text_of)?;
        let note = Note::parse(&self.note).map_err(text_of)?;
        let verified = note.verify(&keys).map_err(text_of)?;
        Ok(verified.iter().map(|v| v.key.name().to_owned()).collect())
    }
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// `signed-notes/vkeys.json`
#[derive(Deserialize)]
struct VkeyCase {
    name: String,
    vkey: String,
    valid: bool,
}

/// `signed-notes/checkpoint-parse.json`
#[derive(Deserialize)]
struct CheckpointCase {
    name: String,
    body: String,
    strict_verdict: Verdict,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accept,
    Reject,
}

/// `signed-notes/checkpoint-key-ids.json`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyIdCase {
    origin: String,
    alg: Algorithm,
    #[serde(rename = "spki_pem")]
    pem: String,
    #[serde(rename = "logId_full_b64")]
    log_id: String,
    #[serde(rename = "keyId4_hex")]
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Algorithm {
    Ed25519,
    EcdsaP256,
}

impl KeyIdCase {
    fn run(&self) -> Result<(), String> {
        let (_, spki) = Document::from_pem(&self.pem).map_err(text_of)?;
        let parsed = SubjectPublicKeyInfoRef::from_der(spki.as_bytes()).map_err(text_of)?;
        let (kind, public_key) = match self.alg {
            Algorithm::Ed25519 => (KeyType::Ed25519, parsed.subject_public_key.raw_bytes()),
            Algorithm::EcdsaP256 => (KeyType::EcdsaP256, spki.as_bytes()),
        };
        let full = STANDARD.encode(key_hash(&self.origin, kind, public_key));
        same("the log id", &full, &self.log_id)?;
        let short = hex::encode(key_id(&self.origin, kind, public_key));
        same("the key id", &short, &self.key_id)?;
        let key = VerifierKey::new(&self.origin, kind, public_key).map_err(text_of)?;
        same("the key's id", &hex::encode(key.id()), &self.key_id)
    }
}

/// `tlog-proofs/cases.json`
#[derive(Deserialize)]
struct ProofCase {
    name: String,
    origin: String,
    leaf: String,
    proof: String,
    policy: String,
    valid: bool,
}

impl ProofCase {
    fn verify(&self) -> Result<(), String> {
        let policy: Policy = self.policy.parse().map_err(text_of)?;
        let proof: TlogProof = self.proof.parse().map_err(text_of)?;
        let leaf = leaf_hash(self.leaf.as_bytes());
        let verified = proof.verify(&leaf, &policy).map_err(text_of)?;
        let origin = verified.witnessed.checkpoint.origin().to_owned();
        same("the origin", &origin, &self.origin)
    }
}

/// `tlog-proofs/parse.json`
#[derive(Deserialize)]
struct FramingCase {
    name: String,
    text: String,
    parses: bool,
}
