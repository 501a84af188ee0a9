//! The document as the state machine has it: what the daemon publishes.

use super::{Compromised, Document, DocumentError, Log, Published, Version};
use crate::key::KeyVersion;
use crate::name::KeyVersionId;
use crate::state::State;
use crate::time::Timestamp;

impl Document {
    /// Every version of every key of the tenant, as `state` knows them.
    ///
    /// # Errors
    /// [`DocumentError`]: an enrolled key that no verifier can use, or a vkey that is none.
    pub fn of_state(
        state: &State,
        time: Timestamp,
        published: Published,
        vkey: &str,
    ) -> Result<Self, DocumentError> {
        let tenant = published.tenant.clone();
        let versions = state
            .keys()
            .filter(|(id, _)| *id.key.tenant() == tenant)
            .map(|(id, version)| (id.key.clone(), of_version(&id, version)));
        Self::with(time, Some(published), vkey, former_logs(state), versions)
    }
}

/// The logs whose place this one took, oldest first.
fn former_logs(state: &State) -> Vec<Log> {
    let genesis = state.genesis();
    let Some(predecessor) = genesis.and_then(|genesis| genesis.predecessor.as_deref()) else {
        return Vec::new();
    };
    let earlier = predecessor.earlier.iter();
    let earlier = earlier.map(|former| (&former.origin, &former.vkey));
    let all = earlier.chain([(&predecessor.origin, &predecessor.vkey)]);
    all.map(|(origin, vkey)| Log {
        origin: origin.clone(),
        vkey: vkey.clone(),
    })
    .collect()
}

fn of_version(id: &KeyVersionId, version: &KeyVersion) -> Version {
    let enrolment = &version.enrolment;
    let succession = version.succession.as_deref();
    Version {
        version: id.version,
        state: version.state,
        purpose: enrolment.purpose,
        scheme: enrolment.scheme,
        keyid: enrolment.spki.keyid(),
        spki: enrolment.spki.clone(),
        active_from: version.active_from,
        active_until: version.active_until,
        compromise: version.compromise.as_ref().map(|compromise| Compromised {
            effective_time: compromise.effective_time,
            decided_index: compromise.decided_index,
            log: compromise.log.clone(),
        }),
        // The daemon made it: it is JSON.
        succession: succession.and_then(|text| serde_json::from_str(text).ok()),
    }
}
