//! What `sealwrightd` does beside running.

pub mod archive;
pub mod fsck;
pub mod reindex;
pub mod shard;
