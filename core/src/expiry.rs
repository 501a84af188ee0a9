//! When it is time to speak of a certificate's end.

use crate::time::Timestamp;

/// Whether a certificate valid between `from` and `until` ends soon: within `days`, and within the last quarter of its
/// life, so that one which a machine renews every hour is no alarm.
pub fn is_soon(now: Timestamp, from: Timestamp, until: Timestamp, days: u32) -> bool {
    let (from, until) = (from.unix_millis(), until.unix_millis());
    let quarter = until.saturating_sub(from).max(0) / 4;
    let ahead = quarter.min(i64::from(days) * 86_400_000);
    now.unix_millis() > until.saturating_sub(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_of_a_life_is_soon_but_no_more_than_the_days() {
        const DAY: i64 = 86_400_000;
        let at = Timestamp::from_unix_millis;
        let soon = |now, until| is_soon(at(now), at(0), at(until), 14);
        assert!(!soon(86 * DAY, 100 * DAY) && soon(86 * DAY + 1, 100 * DAY));
        assert!(!soon(3 * DAY, 4 * DAY) && soon(3 * DAY + 1, 4 * DAY));
        assert!(soon(5 * DAY, 4 * DAY), "what has ended, too");
        assert!(
            is_soon(at(6), at(9), at(5), 14),
            "also where it never began"
        );
    }
}
