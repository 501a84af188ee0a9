//! The clock in the fold: what a wall clock is compared with at the next start.

use serde::{Deserialize, Serialize};

use super::State;
use crate::clock::{Basis, Doubt};
use crate::record::{ClockAccepted, Record};
use crate::time::Timestamp;

/// What is known of the clock beside the time of the newest record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClockState {
    /// What it should have said when it was last doubted, while it is.
    doubted: Option<Timestamp>,
    /// What an operator accepted, where records are ahead of that.
    accepted: Option<Timestamp>,
}

impl State {
    /// What the wall clock of a daemon that starts is compared with.
    pub fn clock_basis(&self) -> Basis {
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

    pub(super) fn doubt_clock(&mut self, doubt: Doubt) {
        let (Doubt::Behind { expected, .. } | Doubt::Ahead { expected, .. }) = doubt;
        self.clock.doubted.get_or_insert(expected);
    }

    pub(super) fn believe_clock(&mut self) {
        self.clock.doubted = None;
    }

    pub(super) fn accept_clock(&mut self, record: &Record, accepted: &ClockAccepted) {
        self.clock = ClockState {
            doubted: None,
            accepted: (accepted.wall < record.time).then_some(accepted.wall),
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
            reason: String::new(),
            warrant: Warrant::default(),
            by: Actor { principal, peer },
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
        assert_eq!(state.clock_basis(), Basis::Recorded(at(5_000)));
        record(&mut state, 5_000, accepted(1_000));
        assert_eq!(state.clock_basis(), Basis::Recorded(at(1_000)));
        record(&mut state, 5_001, doubted(5_001, 5_001));
        record(
            &mut state,
            5_001,
            Event::ClockBelieved(ClockBelieved { wall: at(5_001) }),
        );
        assert_eq!(state.clock_basis(), Basis::Recorded(at(5_001)));
    }

    #[test]
    fn a_doubt_outlives_a_restart_until_somebody_ends_it() {
        for end in [
            accepted(9_500),
            Event::ClockBelieved(ClockBelieved { wall: at(9_500) }),
        ] {
            let mut state = state(1_000);
            record(&mut state, 9_000, doubted(9_000, 1_000));
            record(&mut state, 9_500, doubted(9_500, 1_500));
            assert_eq!(state.clock_basis(), Basis::Doubted(at(1_000)));
            record(&mut state, 9_500, end);
            assert_eq!(state.clock_basis(), Basis::Recorded(at(9_500)));
        }
    }
}
