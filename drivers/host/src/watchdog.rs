//! The thread that makes no vendor call, and so is there to end the process when one does not return.

use std::sync::Arc;

use sd_notify::NotifyState;

use crate::exit;
use crate::work::Work;

/// Starts it, and tells systemd (where `NOTIFY_SOCKET` is set) that the process is ready.
pub(crate) fn start(work: &Arc<Work>) -> std::io::Result<()> {
    // Half the interval, as sd_watchdog_enabled(3) advises.
    let tick = sd_notify::watchdog_enabled().map(|interval| interval / 2);
    let work = Arc::clone(work);
    std::thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || {
            notify(NotifyState::Ready);
            while !work.wait_overdue(tick) {
                notify(NotifyState::Watchdog);
            }
            tracing::error!("a call into the device outlived its deadline; ending this process");
            exit::now(exit::DEADLINE);
        })?;
    Ok(())
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told the state");
    }
}
