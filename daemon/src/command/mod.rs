//! What `sealwrightd` does beside running.

pub mod fsck;
pub mod reindex;
