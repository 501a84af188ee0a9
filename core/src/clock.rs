//! Whether the wall clock can be believed: against the kernel's count since boot while a daemon runs, and when one starts
//! in the same boot as the one before; else against the log's newest record.
//!
//! A record's time never goes back, whatever the clock does. What is decided by time (a rotation that is due, a
//! compromise "from now on") waits until the clock is believed again, or an operator says that it is right.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Steps up to this many milliseconds are a clock that is being set right.
pub const STEP_MAX_MS: i64 = 60_000;

/// A daemon that was away for longer, by the clock, asks whether it really was: 30 days.
pub const AWAY_MAX_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    /// CLOCK_BOOTTIME in milliseconds: what nobody sets.
    pub boottime_ms: u64,
}

/// What the wall clock is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A moment of this boot at which it was believed.
    Believed(Reading),
    /// The newest record of the runs before, or the time that an operator accepted since.
    Recorded(Timestamp),
    /// What it should have said when an earlier run began to doubt it. Nobody knows how long ago that is.
    Doubted(Timestamp),
}

/// The wall clock cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// It is behind.
    Behind {
        /// What it says.
        wall: Timestamp,
        /// What it should say at least.
        expected: Timestamp,
    },
    /// It is ahead.
    Ahead {
        /// What it says.
        wall: Timestamp,
        /// What it should say at most.
        expected: Timestamp,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Behind { wall, expected } | Self::Ahead { wall, expected }) = self;
        let (direction, bound) = match self {
            Self::Behind { .. } => ("behind", "at least"),
            Self::Ahead { .. } => ("ahead", "at most"),
        };
        write!(
            f,
            "the host's clock is {direction}: it says {wall} and should say {bound} {expected}; set it right, or say \
             `sealwright clock accept` if it is"
        )
    }
}

impl Reading {
    /// By how many milliseconds the wall clock has been set forward since `then`, in the same boot; negative: back.
    pub fn set_since(self, then: Self) -> i64 {
        self.wall
            .unix_millis()
            .saturating_sub(then.after(self.boottime_ms).unix_millis())
    }

    /// What the wall clock says at `boottime_ms` if nobody sets it.
    fn after(self, boottime_ms: u64) -> Timestamp {
        let passed = boottime_ms.saturating_sub(self.boottime_ms);
        after(self.wall, i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

impl Basis {
    /// Whether `now` can be right.
    pub fn judge(self, now: Reading) -> Option<Doubt> {
        let wall = now.wall;
        let (least, most) = match self {
            Self::Believed(then) => {
                let expected = then.after(now.boottime_ms);
                (expected, expected)
            }
            Self::Recorded(newest) => (newest, after(newest, AWAY_MAX_MS)),
            Self::Doubted(expected) => (expected, expected),
        };
        if wall < after(least, -STEP_MAX_MS) {
            let expected = least;
            Some(Doubt::Behind { wall, expected })
        } else if wall > after(most, STEP_MAX_MS) {
            let expected = most;
            Some(Doubt::Ahead { wall, expected })
        } else {
            None
        }
    }
}

fn after(time: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 24 * 60 * 60 * 1000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_790_000_000_000 + millis)
    }

    /// `Some(true)` behind, `Some(false)` ahead.
    fn is_behind(basis: Basis, wall: i64, boottime_ms: u64) -> Option<bool> {
        let doubt = basis.judge(Reading {
            wall: at(wall),
            boottime_ms,
        });
        doubt.map(|doubt| matches!(doubt, Doubt::Behind { .. }))
    }

    #[test]
    fn while_a_daemon_runs_the_wall_clock_goes_as_fast_as_the_count_since_boot() {
        let then = Reading {
            wall: at(0),
            boottime_ms: 5_000,
        };
        let basis = Basis::Believed(then);
        for (wall, boottime_ms, expected) in [
            (0, 5_000, None),
            (10_000, 15_000, None),
            (10_000 + STEP_MAX_MS, 15_000, None),
            (10_000 - STEP_MAX_MS, 15_000, None),
            (10_001 + STEP_MAX_MS, 15_000, Some(false)),
            (9_999 - STEP_MAX_MS, 15_000, Some(true)),
            (YEAR, 15_000, Some(false)),
            (-YEAR, 15_000, Some(true)),
            // A suspended machine: both went on.
            (YEAR, 5_000 + YEAR as u64, None),
        ] {
            let found = is_behind(basis, wall, boottime_ms);
            assert_eq!(found, expected, "{wall} {boottime_ms}");
        }
    }

    #[test]
    fn at_a_start_the_wall_clock_is_behind_no_record_and_not_far_ahead_of_the_newest() {
        let basis = Basis::Recorded(at(0));
        for (wall, expected) in [
            (0, None),
            (-STEP_MAX_MS, None),
            (-STEP_MAX_MS - 1, Some(true)),
            (-YEAR, Some(true)),
            (AWAY_MAX_MS, None),
            (YEAR, Some(false)),
        ] {
            assert_eq!(is_behind(basis, wall, 7), expected, "{wall}");
        }
    }

    #[test]
    fn what_an_earlier_run_doubted_is_doubted_still() {
        let basis = Basis::Doubted(at(0));
        for (wall, expected) in [(0, None), (YEAR, Some(false)), (-YEAR, Some(true))] {
            assert_eq!(is_behind(basis, wall, 7), expected, "{wall}");
        }
    }

    #[test]
    fn a_doubt_names_both_times_and_the_next_step() {
        let basis = Basis::Recorded(at(0));
        let wall = at(-YEAR);
        let doubt = basis.judge(Reading {
            wall,
            boottime_ms: 0,
        });
        let text = doubt.unwrap().to_string();
        for part in [
            "behind",
            &wall.to_string(),
            &at(0).to_string(),
            "clock accept",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
