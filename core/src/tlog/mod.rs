//! Transparency log formats: RFC 6962 trees and the C2SP files around them.
//!
//! - [`merkle`]: hashing, and checking inclusion and consistency proofs (RFC 9162 section 2.1).
//! - [`frontier`]: the right edge of a growing tree, enough to append and to know the root.
//! - [`prove`]: making proofs from the roots of complete subtrees.
//! - [`tile`]: coordinates and paths of tiles and entry bundles (C2SP `tlog-tiles`).
//! - [`tree`]: reading subtrees out of tiles, and the tiles an append writes.
//! - [`entries`]: what stands inside an entry bundle.
//! - [`vkey`], [`note`], [`cosignature`]: keys and signatures over text (C2SP `signed-note`,
//!   `tlog-cosignature`).
//! - [`checkpoint`]: the text a log signs (C2SP `tlog-checkpoint`).
//! - [`policy`], [`policy_text`]: which logs and witnesses are enough (C2SP `tlog-policy`).
//! - [`quorum`]: the witnesses a log relies on, and what their cosignatures are worth.
//! - [`witnessed`]: checkpoints that a policy accepts.
//! - [`add_checkpoint`]: what a log asks a witness, and the witness's decision (C2SP `tlog-witness`).
//! - [`witness_answer`]: what the witness answers.
//! - [`proof`]: a proof of logging that is checked offline (C2SP `tlog-proof`).
//!
//! Nothing here signs: signatures come from a key elsewhere and are only put in their place and checked.

pub mod add_checkpoint;
pub mod checkpoint;
pub mod cosignature;
pub mod entries;
pub mod exported;
pub mod frontier;
pub mod merkle;
#[cfg(test)]
mod naive;
pub mod note;
pub mod policy;
pub mod policy_text;
pub mod proof;
pub mod prove;
pub mod quorum;
#[cfg(test)]
mod signers;
mod text;
pub mod tile;
pub mod tree;
pub mod vkey;
pub mod witness_answer;
pub mod witnessed;

pub use add_checkpoint::AddCheckpoint;
pub use checkpoint::Checkpoint;
pub use frontier::Frontier;
pub use merkle::Hash;
pub use note::Note;
pub use policy::Policy;
pub use proof::TlogProof;
pub use quorum::Quorum;
pub use tile::{EntryBundle, Tile, TilePath};
pub use vkey::VerifierKey;
pub use witness_answer::WitnessAnswer;
