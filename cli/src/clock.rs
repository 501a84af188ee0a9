//! This computer's clock.

use std::time::SystemTime;

use sealwright_core::time::Timestamp;

/// Now; the epoch's beginning where the clock stands before it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
