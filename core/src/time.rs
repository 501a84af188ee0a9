//! Points in time as records carry them: UTC, milliseconds, RFC 3339.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z; prints as `2026-11-25T08:00:00.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// The text is no RFC 3339 time between the years 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is RFC 3339 text like 2026-11-25T08:00:00.123Z")]
pub struct NotATime;

/// 9999-12-31T23:59:59.999Z: the last time with a four-digit year.
const MAX_MILLIS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// Clamps to the years 1970 to 9999, so that every value has a text.
    pub fn from_unix_millis(millis: i64) -> Self {
        Self(millis.clamp(0, MAX_MILLIS))
    }

    /// Milliseconds since the epoch.
    pub fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub fn unix_seconds(self) -> i64 {
        self.0 / 1000
    }

    /// The same without a sign: no value lies before the epoch.
    pub fn seconds(self) -> u64 {
        self.unix_seconds().unsigned_abs()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            OffsetDateTime::from_unix_timestamp(self.unix_seconds()).map_err(|_| fmt::Error)?;
        let (date, clock) = (time.date(), time.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            self.0 % 1000
        )
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATime)?;
        let millis =
            i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| NotATime)?;
        if (0..=MAX_MILLIS).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(NotATime)
        }
    }
}

crate::name::serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        for millis in [0, 1, 1_795_593_600_123, MAX_MILLIS] {
            let time = Timestamp::from_unix_millis(millis);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!(
            Timestamp::from_unix_millis(1_795_593_600_007).to_string(),
            "2026-11-25T08:00:00.007Z"
        );
        assert_eq!("yesterday".parse::<Timestamp>(), Err(NotATime));
    }
}
