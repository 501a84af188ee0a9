//! What an operator is told who lets a log take the place of another one.

use std::collections::BTreeSet;
use std::path::Path;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::KeyState;
use sealwright_core::shard::Shard;

use crate::driver::token_config;

/// Says what came over, and what the host still lacks for it.
pub(super) fn note(
    config_dir: &Path,
    shard: &Shard,
    policy_digest: Sha256Digest,
    notes: &mut Vec<String>,
) {
    let old = &shard.predecessor;
    let (origin, size, versions) = (&old.origin, old.size, old.versions);
    notes.push(format!(
        "{versions} key versions come from {origin}, which ended with {size} records"
    ));
    let mut in_use = shard
        .keys
        .iter()
        .filter(|key| key.state == KeyState::Active);
    if let Some(key) = in_use.next() {
        let key = &key.enrolment.key;
        notes.push(format!(
            "what was Active is Suspended: look at each, then `sealwright keys resume {key}`"
        ));
    }
    if shard.policy_digest.is_some_and(|old| old != policy_digest) {
        notes.push("the policy is not the one that was in force at the old log's end".to_owned());
    }
    let tokens: BTreeSet<&str> = shard.keys.iter().map(|key| &*key.enrolment.token).collect();
    for token in tokens {
        let config = token_config(config_dir, token);
        if !config.exists() {
            let config = config.display();
            notes.push(format!(
                "{config} is missing: keys that came over lie on that token"
            ));
        }
    }
}
