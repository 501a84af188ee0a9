//! Tells systemd that the daemon lives, as often as its unit asks.

use std::sync::Arc;

use sd_notify::NotifyState;

use crate::daemon::Daemon;

/// Starts it where the unit has `WatchdogSec=`. It answers from the runtime and with the lock of the state, so a daemon
/// that is stuck in either goes silent and is started anew; a journal that is poisoned is no reason for that, since only
/// somebody who looked should have it read the disk again.
pub(crate) fn start(daemon: Arc<Daemon>) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    tokio::spawn(async move {
        // Half the interval, as sd_watchdog_enabled(3) advises.
        let mut tick = tokio::time::interval(interval / 2);
        loop {
            tick.tick().await;
            daemon.journal.with_state(|_| ());
            // A manager that is not there does not want to know.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    });
}
