//! Every state of a key version against everything that can be recorded of it, thawed and frozen.
#![allow(clippy::unwrap_used)]

#[path = "support/fold.rs"]
mod support;

use sealwright_core::key::{KeyEvent, KeyState, Purpose};
use sealwright_core::record::{Event, FreezeScope};
use sealwright_core::state::{State, StateError};
use support::{
    cancelled, changed, compromised, destroy_intent, enrolled, frozen, push, rotated, scheduled,
    state, state_of, thawed,
};

/// What is recorded of `release#1`: its events, and those of which it is a part.
const EVENTS: [&str; 9] = [
    "activate",
    "suspend",
    "resume",
    "deactivate",
    "destroy",
    "compromise",
    "rotate-from",
    "rotate-to",
    "schedule",
];

/// By the state that `release#1` is in (`*`: compromised), the state after each of [`EVENTS`] or why it is refused:
/// `-` not from this state, `!` compromised, `=` nothing new, `F` frozen where it is frozen and otherwise the state
/// behind it.
const TABLE: [(&str, [&str; 9]); 8] = [
    (
        "PreActive",
        [
            "FActive",
            "-",
            "-",
            "-",
            "Destroyed",
            "PreActive*",
            "-",
            "FActive",
            "-",
        ],
    ),
    (
        "Active",
        [
            "-",
            "Suspended",
            "-",
            "Deactivated",
            "-",
            "Deactivated*",
            "FDeactivated",
            "-",
            "FActive",
        ],
    ),
    (
        "Suspended",
        [
            "-",
            "-",
            "FActive",
            "Deactivated",
            "-",
            "Deactivated*",
            "-",
            "-",
            "-",
        ],
    ),
    (
        "Deactivated",
        [
            "-",
            "-",
            "-",
            "-",
            "Destroyed",
            "Deactivated*",
            "-",
            "-",
            "-",
        ],
    ),
    (
        "Destroyed",
        ["-", "-", "-", "-", "-", "Destroyed*", "-", "-", "-"],
    ),
    (
        "PreActive*",
        ["!", "-", "-", "-", "Destroyed*", "=", "-", "!", "-"],
    ),
    (
        "Deactivated*",
        ["-", "-", "-", "-", "Destroyed*", "=", "-", "-", "-"],
    ),
    ("Destroyed*", ["-", "-", "-", "-", "-", "=", "-", "-", "-"]),
];

/// Far enough in the future for every test.
const LATER: i64 = 1_000_000;

/// `release#1` in `wanted`, and `release#2` as its partner for `event`: waiting, or active and to be followed.
fn key_in(wanted: &str, event: &str) -> State {
    use KeyEvent::{Activate, Deactivate, Destroy, Suspend};
    let way: &[KeyEvent] = match wanted.trim_end_matches('*') {
        "PreActive" => &[],
        "Active" => &[Activate],
        "Suspended" => &[Activate, Suspend],
        "Deactivated" => &[Activate, Deactivate],
        _ => &[Destroy],
    };
    let mut all = vec![enrolled("release#1", Purpose::Dsse)];
    all.extend(way.iter().map(|event| changed("release#1", *event)));
    if wanted.ends_with('*') {
        all.push(compromised("release#1", 2));
    }
    all.push(enrolled("release#2", Purpose::Dsse));
    if event == "rotate-to" && wanted != "Active" {
        all.push(changed("release#2", Activate));
    }
    state(all)
}

fn event_of(name: &str) -> Event {
    let step = |event| changed("release#1", event);
    match name {
        "activate" => step(KeyEvent::Activate),
        "suspend" => step(KeyEvent::Suspend),
        "resume" => step(KeyEvent::Resume),
        "deactivate" => step(KeyEvent::Deactivate),
        "destroy" => step(KeyEvent::Destroy),
        "compromise" => compromised("release#1", 2),
        "rotate-from" => rotated("release#1", "release#2"),
        "rotate-to" => rotated("release#2", "release#1"),
        _ => scheduled("release#1", "release#2", LATER),
    }
}

/// The state after `event`, or the sign of why not.
fn outcome(state: &mut State, event: Event) -> String {
    match push(state, event) {
        Ok(()) => {
            let id = "release#1".parse().unwrap();
            let version = state.version(&id).unwrap();
            let mark = if version.compromise.is_some() {
                "*"
            } else {
                ""
            };
            format!("{:?}{mark}", version.state)
        }
        Err(StateError::Illegal(..)) => "-".to_owned(),
        Err(StateError::Compromised { .. }) => "!".to_owned(),
        Err(StateError::AlreadyCompromised { .. }) => "=".to_owned(),
        Err(StateError::Frozen { .. }) => "F".to_owned(),
        Err(other) => other.to_string(),
    }
}

#[test]
fn every_pair_of_state_and_event_is_decided() {
    let scopes = [
        FreezeScope::All,
        FreezeScope::Tenant("default".parse().unwrap()),
    ];
    for (from, row) in TABLE {
        for (event, expected) in EVENTS.into_iter().zip(row) {
            let what = format!("{from} {event}");
            let thawed = expected.trim_start_matches('F');
            assert_eq!(
                outcome(&mut key_in(from, event), event_of(event)),
                thawed,
                "{what}"
            );
            for scope in &scopes {
                let mut state = key_in(from, event);
                push(&mut state, frozen(scope)).unwrap();
                let outcome = outcome(&mut state, event_of(event));
                // Of two reasons to refuse either may be told.
                let refused = matches!(thawed, "-" | "!" | "=") && outcome == "F";
                let expected = if expected.starts_with('F') {
                    "F"
                } else {
                    thawed
                };
                assert!(
                    refused || outcome == expected,
                    "{what}, {scope} frozen: {outcome}"
                );
            }
        }
    }
}

#[test]
fn what_is_refused_changes_nothing_and_a_freeze_of_others_refuses_nothing() {
    let elsewhere = FreezeScope::Tenant("blue".parse().unwrap());
    for (from, row) in TABLE {
        for (event, expected) in EVENTS.into_iter().zip(row) {
            let mut state = key_in(from, event);
            push(&mut state, frozen(&elsewhere)).unwrap();
            let before = state.clone();
            let outcome = outcome(&mut state, event_of(event));
            assert_eq!(outcome, expected.trim_start_matches('F'), "{from} {event}");
            if matches!(outcome.as_str(), "-" | "!" | "=") {
                assert_eq!(state, before, "{from} {event}");
            }
        }
    }
}

#[test]
fn a_freeze_stops_what_is_made_and_enrolled_and_ends_when_it_is_lifted() {
    let scope = FreezeScope::Tenant("default".parse().unwrap());
    let mut state = key_in("Active", "");
    assert_eq!(
        push(&mut state, thawed(&scope)),
        Err(StateError::NotFrozen(scope.clone()))
    );
    push(&mut state, frozen(&scope)).unwrap();
    assert!(matches!(
        push(&mut state, frozen(&scope)),
        Err(StateError::AlreadyFrozen { .. })
    ));
    let enrolment = push(&mut state, enrolled("release#3", Purpose::Dsse));
    assert!(
        matches!(enrolment, Err(StateError::Frozen { .. })),
        "{enrolment:?}"
    );
    push(&mut state, frozen(&FreezeScope::All)).unwrap();
    push(&mut state, thawed(&scope)).unwrap();
    assert!(push(&mut state, enrolled("release#3", Purpose::Dsse)).is_err());
    push(&mut state, thawed(&FreezeScope::All)).unwrap();
    push(&mut state, enrolled("release#3", Purpose::Dsse)).unwrap();
}

#[test]
fn a_permit_from_before_a_freeze_is_void_for_good() {
    let id = "release#1".parse().unwrap();
    for scope in [
        FreezeScope::All,
        FreezeScope::Tenant("default".parse().unwrap()),
    ] {
        let mut state = key_in("Active", "");
        let since = state.version(&id).unwrap().state_index;
        state.check_release(&id, since).unwrap();
        let set = state.next_index();
        push(&mut state, frozen(&scope)).unwrap();
        for index in 0..=set {
            assert!(state.check_release(&id, index).is_err(), "{scope} {index}");
        }
        push(&mut state, thawed(&scope)).unwrap();
        assert!(state.check_release(&id, since).is_err(), "{scope}");
        state.check_release(&id, set).unwrap();
    }
}

#[test]
fn a_version_that_is_being_destroyed_is_never_taken_into_use() {
    let mut state = key_in("Active", "");
    push(&mut state, enrolled("release#3", Purpose::Dsse)).unwrap();
    push(&mut state, destroy_intent("release#3")).unwrap();
    for event in [
        changed("release#3", KeyEvent::Activate),
        rotated("release#1", "release#3"),
        scheduled("release#1", "release#3", LATER),
        destroy_intent("release#3"),
    ] {
        let refused = push(&mut state, event.clone());
        assert!(
            matches!(refused, Err(StateError::BeingDestroyed { .. })),
            "{event:?}: {refused:?}"
        );
    }
    push(&mut state, changed("release#3", KeyEvent::Destroy)).unwrap();
    assert_eq!(state_of(&state, "release#3"), KeyState::Destroyed);
}

#[test]
fn of_a_tenants_keys_one_stays() {
    let mut state = state([
        enrolled("release#1", Purpose::Dsse),
        enrolled("other#1", Purpose::Dsse),
        enrolled("acme/release#1", Purpose::Dsse),
    ]);
    push(&mut state, destroy_intent("other#1")).unwrap();
    let last = push(&mut state, destroy_intent("release#1"));
    assert_eq!(last, Err(StateError::LastKey("release#1".parse().unwrap())));
}

#[test]
fn a_schedule_lasts_until_it_is_done_cancelled_or_impossible() {
    use KeyEvent::{Deactivate, Destroy, Suspend};
    let ends = [
        rotated("release#1", "release#2"),
        rotated("release#1", "release#3"),
        changed("release#1", Suspend),
        changed("release#1", Deactivate),
        changed("release#2", Destroy),
        destroy_intent("release#2"),
        compromised("release#1", 2),
        compromised("release#2", 4),
        cancelled("release"),
    ];
    for end in ends {
        let mut state = with_schedule();
        push(&mut state, end.clone()).unwrap();
        assert_eq!(state.schedules().count(), 0, "{end:?}");
        let again = push(&mut state, cancelled("release"));
        assert!(matches!(again, Err(StateError::NotScheduled(_))), "{end:?}");
    }
    let goes_on = [
        changed("release#3", Destroy),
        compromised("release#3", 6),
        enrolled("release#4", Purpose::Dsse),
        frozen(&FreezeScope::All),
    ];
    for event in goes_on {
        let mut state = with_schedule();
        push(&mut state, event.clone()).unwrap();
        assert_eq!(state.schedules().count(), 1, "{event:?}");
    }
}

/// `release#2` is to follow `release#1`; `release#3` waits as well.
fn with_schedule() -> State {
    let mut state = key_in("Active", "");
    push(&mut state, enrolled("release#3", Purpose::Dsse)).unwrap();
    push(&mut state, scheduled("release#1", "release#2", LATER)).unwrap();
    state
}

#[test]
fn a_schedule_needs_a_later_time_and_that_there_is_no_other() {
    let mut state = with_schedule();
    let other = push(&mut state, scheduled("release#1", "release#3", LATER));
    assert!(
        matches!(other, Err(StateError::AlreadyScheduled { .. })),
        "{other:?}"
    );
    push(&mut state, cancelled("release")).unwrap();
    // The record's own time is its index and one.
    let now = state.next_index().cast_signed() + 1;
    let past = push(&mut state, scheduled("release#1", "release#3", now));
    assert!(
        matches!(past, Err(StateError::PastRotation { .. })),
        "{past:?}"
    );
    push(&mut state, scheduled("release#1", "release#3", now + 1)).unwrap();
    assert_eq!(state_of(&state, "release#3"), KeyState::PreActive);
}
