//! What an operator is told who lets a log take the place of another one.

use std::collections::BTreeSet;
use std::path::Path;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::KeyState;
use sealwright_core::record::{FreezeInherited, HoldInherited, KeyInherited};
use sealwright_core::shard::{Inheritance, Shard};

use crate::driver::token_config;

/// Says what came over, and what the host still lacks for it.
pub(super) fn note(
    config_dir: &Path,
    shard: &Shard,
    policy_digest: Sha256Digest,
    notes: &mut Vec<String>,
) {
    let old = &shard.predecessor;
    let Inheritance {
        keys,
        freezes,
        holds,
        ..
    } = &shard.inheritance;
    let (origin, size, versions) = (&old.origin, old.size, keys.len());
    notes.push(format!(
        "{versions} key versions come from {origin}, which ended with {size} records"
    ));
    let mut in_use = keys.iter().filter(|key| key.state == KeyState::Active);
    if let Some(key) = in_use.next() {
        let key = &key.enrolment.key;
        notes.push(format!(
            "what was Active is Suspended: look at each, then `sealwright keys resume {key}`"
        ));
    }
    notes.extend(freezes.iter().map(|freeze| {
        let FreezeInherited { scope, since, .. } = freeze;
        format!("{scope} stays frozen, since {since}: `sealwright thaw` ends that")
    }));
    notes.extend(holds.iter().map(|hold| {
        let HoldInherited { tenant, name, .. } = hold;
        format!(
            "tenant {tenant} stays on hold {name:?}; what {origin} recorded of it lies in the old state directory and \
             its archive: keep both"
        )
    }));
    if shard.policy_digest.is_some_and(|old| old != policy_digest) {
        notes.push("the policy is not the one that was in force at the old log's end".to_owned());
    }
    notes.extend(missing_tokens(config_dir, keys));
}

fn missing_tokens(config_dir: &Path, keys: &[KeyInherited]) -> impl Iterator<Item = String> {
    let tokens: BTreeSet<&str> = keys.iter().map(|key| &*key.enrolment.token).collect();
    let configs = tokens
        .into_iter()
        .map(|token| token_config(config_dir, token));
    configs.filter(|config| !config.exists()).map(|config| {
        let config = config.display();
        format!("{config} is missing: keys that came over lie on that token")
    })
}
