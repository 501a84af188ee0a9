//! The clock in the fold: what a wall clock is compared with at the next start.

use serde::{Deserialize, Serialize};

use super::State;
use crate::clock::{Basis, Doubt, Reading, STEP_MAX_MS};
use crate::record::{ClockAccepted, ClockBelieved, DaemonStarted, Record, SinceBoot};
use crate::time::Timestamp;

/// What is known of the clock beside the time of the newest record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClockState {
    /// What it should have said when it was last doubted, while it is.
    doubted: Option<Timestamp>,
    /// What an operator accepted, where records are ahead of that.
    accepted: Option<Timestamp>,
    /// Both clocks when the wall clock was last believed, and the boot in which that was.
    believed: Option<(String, Reading)>,
}

/// A clock that has been set by so many milliseconds, all steps together, is recorded anew: steps that are small enough
/// to be believed must not add up to a doubt at the next start.
const ADRIFT_MS: u64 = STEP_MAX_MS.unsigned_abs() / 2;

impl State {
    /// What the wall clock of a daemon that starts in boot `boot_id` is compared with.
    pub fn clock_basis(&self, boot_id: Option<&str>) -> Basis {
        // To the second, also after a doubt: how far the clock should have come since is known.
        if let Some(then) = self.believed_in(boot_id) {
            return Basis::Believed(then);
        }
        let recorded = Basis::Recorded(self.clock.accepted.unwrap_or(self.last_time));
        self.clock.doubted.map_or(recorded, Basis::Doubted)
    }

    /// What it should have said when it was doubted, while the log says that it is.
    pub(super) fn clock_expected(&self) -> Option<Timestamp> {
        self.clock.doubted
    }

    /// Whether the log says that the clock is doubted.
    pub fn is_clock_doubted(&self) -> bool {
        self.clock.doubted.is_some()
    }

    /// Whether the wall clock has been set by so much since it was last recorded that the next start has to know.
    pub fn is_clock_adrift(&self, boot_id: Option<&str>, now: Reading) -> bool {
        let then = self.believed_in(boot_id);
        then.is_some_and(|then| now.set_since(then).unsigned_abs() > ADRIFT_MS)
    }

    fn believed_in(&self, boot_id: Option<&str>) -> Option<Reading> {
        let (boot, then) = self.clock.believed.as_ref()?;
        (Some(boot.as_str()) == boot_id).then_some(*then)
    }

    /// A run's first record, where the clock is not in doubt.
    pub(super) fn note_start(&mut self, started: &DaemonStarted) {
        if let (None, Some(wall), Some(boot_id)) =
            (self.clock.doubted, started.wall, &started.boot_id)
        {
            let boottime_ms = started.boottime_ms;
            self.clock.believed = Some((boot_id.clone(), Reading { wall, boottime_ms }));
        }
    }

    pub(super) fn doubt_clock(&mut self, doubt: Doubt) {
        let (Doubt::Behind { expected, .. } | Doubt::Ahead { expected, .. }) = doubt;
        self.clock.doubted.get_or_insert(expected);
    }

    pub(super) fn believe_clock(&mut self, believed: &ClockBelieved) {
        self.clock.doubted = None;
        self.clock.believed = reading(believed.wall, believed.boot.as_ref());
    }

    pub(super) fn accept_clock(&mut self, record: &Record, accepted: &ClockAccepted) {
        self.clock = ClockState {
            doubted: None,
            accepted: (accepted.wall < record.time).then_some(accepted.wall),
            believed: reading(accepted.wall, accepted.boot.as_ref()),
        };
    }

    /// Once a record's time moves on, the clock has caught up with what it said before it was set back.
    pub(super) fn note_time(&mut self, time: Timestamp) {
        if time > self.last_time {
            self.clock.accepted = None;
        }
        self.last_time = time;
    }
}

fn reading(wall: Timestamp, boot: Option<&SinceBoot>) -> Option<(String, Reading)> {
    let SinceBoot {
        boot_id,
        boottime_ms,
    } = boot?.clone();
    Some((boot_id, Reading { wall, boottime_ms }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::PeerCred;
    use crate::record::{Actor, ClockBelieved, ClockDoubted, Event, SCHEMA_VERSION, Warrant};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    /// A log whose newest record is of that time.
    fn state(last_time: i64) -> State {
        State {
            next_index: 1,
            last_time: at(last_time),
            ..State::default()
        }
    }

    fn record(state: &mut State, time: i64, event: Event) {
        let record = Record {
            v: SCHEMA_VERSION,
            seq: state.next_index,
            time: at(time),
            event,
        };
        state.apply(&record).unwrap();
    }

    fn accepted(wall: i64) -> Event {
        let peer = PeerCred {
            uid: 0,
            gid: 0,
            pid: 0,
        };
        let principal = "op".to_owned();
        Event::ClockAccepted(ClockAccepted {
            wall: at(wall),
            boot: None,
            reason: String::new(),
            warrant: Warrant::default(),
            by: Actor { principal, peer },
        })
    }

    fn believed(wall: i64) -> Event {
        Event::ClockBelieved(ClockBelieved {
            wall: at(wall),
            boot: None,
        })
    }

    /// A run that begins in boot `a`, 7 s after that.
    fn started(wall: i64) -> Event {
        Event::DaemonStarted(DaemonStarted {
            run_id: "run".to_owned(),
            boottime_ms: 7_000,
            boot_id: Some("a".to_owned()),
            wall: Some(at(wall)),
            version: "0".to_owned(),
            open_intents: Vec::new(),
        })
    }

    fn doubted(wall: i64, expected: i64) -> Event {
        let (wall, expected) = (at(wall), at(expected));
        let doubt = Doubt::Ahead { wall, expected };
        Event::ClockDoubted(ClockDoubted { doubt })
    }

    #[test]
    fn an_accepted_step_back_is_the_basis_until_the_clock_has_caught_up() {
        let mut state = state(5_000);
        assert_eq!(state.clock_basis(None), Basis::Recorded(at(5_000)));
        record(&mut state, 5_000, accepted(1_000));
        assert_eq!(state.clock_basis(None), Basis::Recorded(at(1_000)));
        record(&mut state, 5_001, doubted(5_001, 5_001));
        record(&mut state, 5_001, believed(5_001));
        assert_eq!(state.clock_basis(None), Basis::Recorded(at(5_001)));
    }

    #[test]
    fn a_doubt_outlives_a_restart_until_somebody_ends_it() {
        for end in [accepted(9_500), believed(9_500)] {
            let mut state = state(1_000);
            record(&mut state, 9_000, doubted(9_000, 1_000));
            record(&mut state, 9_500, doubted(9_500, 1_500));
            assert_eq!(state.clock_basis(None), Basis::Doubted(at(1_000)));
            record(&mut state, 9_500, end);
            assert_eq!(state.clock_basis(None), Basis::Recorded(at(9_500)));
        }
    }

    #[test]
    fn a_start_in_the_same_boot_is_compared_with_the_run_before_and_not_with_its_records() {
        let mut state = state(1_000);
        record(&mut state, 5_000, started(5_000));
        let then = Reading {
            wall: at(5_000),
            boottime_ms: 7_000,
        };
        assert_eq!(state.clock_basis(Some("a")), Basis::Believed(then));
        for other in [Some("b"), None] {
            assert_eq!(state.clock_basis(other), Basis::Recorded(at(5_000)));
        }
        record(&mut state, 9_000, doubted(9_000, 6_000));
        assert_eq!(state.clock_basis(Some("a")), Basis::Believed(then));
        assert_eq!(state.clock_basis(Some("b")), Basis::Doubted(at(6_000)));
        // What a run in doubt begins with proves nothing.
        record(&mut state, 9_000, started(9_000));
        assert_eq!(state.clock_basis(Some("a")), Basis::Believed(then));
    }

    #[test]
    fn small_steps_that_are_believed_are_recorded_before_they_add_up_to_a_doubt() {
        let mut state = state(1_000);
        record(&mut state, 5_000, started(5_000));
        let now = |set: i64| Reading {
            wall: at(5_000 + 60_000 + set),
            boottime_ms: 67_000,
        };
        let adrift = |state: &State, set| state.is_clock_adrift(Some("a"), now(set));
        let most = STEP_MAX_MS / 2;
        for set in [0, most, -most] {
            assert!(!adrift(&state, set));
        }
        assert!(adrift(&state, most + 1) && adrift(&state, -most - 1));
        assert!(!state.is_clock_adrift(Some("b"), now(most + 1)));
        let Reading { wall, boottime_ms } = now(most + 1);
        let boot_id = "a".to_owned();
        let boot = Some(SinceBoot {
            boot_id,
            boottime_ms,
        });
        let event = Event::ClockBelieved(ClockBelieved { wall, boot });
        record(&mut state, wall.unix_millis(), event);
        assert!(!adrift(&state, most + 1));
        assert!(adrift(&state, 0), "and back again");
    }
}
