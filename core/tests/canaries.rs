//! A canary key signs its own words only, and nobody else's.
#![allow(clippy::unwrap_used)]

#[path = "support/fold.rs"]
mod support;

use sealwright_core::canary::CanaryToBeSigned;
use sealwright_core::key::{KeyEvent, KeyState, Purpose};
use sealwright_core::name::KeyVersionId;
use sealwright_core::state::State;
use sealwright_core::time::Timestamp;
use support::{changed, enrolled, state};

fn active(purpose: Purpose) -> State {
    state([
        enrolled("release#1", purpose),
        changed("release#1", KeyEvent::Activate),
    ])
}

fn canary_of(state: &State, id: &KeyVersionId) -> Option<CanaryToBeSigned> {
    let version = state.version(id).unwrap();
    CanaryToBeSigned::new("log.example", id, version, Timestamp::default())
}

#[test]
fn only_the_version_of_a_canary_key_that_signs_now_has_one() {
    for purpose in [Purpose::Dsse, Purpose::X509] {
        let state = active(purpose);
        let (id, _) = state.keys().next().unwrap();
        assert!(canary_of(&state, &id).is_none(), "{purpose:?}");
    }
    let state = active(Purpose::Canary);
    let (id, version) = state.keys().next().unwrap();
    assert!(canary_of(&state, &id).is_some());
    let mut suspended = version.clone();
    suspended.state = KeyState::Suspended;
    let none = CanaryToBeSigned::new("log.example", &id, &suspended, Timestamp::default());
    assert!(none.is_none());
}
