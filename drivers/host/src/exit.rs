//! How a driver process ends, and with which code.
//!
//! The daemon never kills a driver. A process that cannot go on ends itself; the activator starts another.

use std::time::Duration;

/// `EX_SOFTWARE`: a thread panicked. Without an end there would be a token served by nobody, or by nobody watched.
pub const PANIC: u8 = 70;
/// A request outlived its deadline: the device, or vendor code, is stuck.
pub const DEADLINE: u8 = 75;
/// The daemon went away while a request was being worked on.
pub const PEER_GONE: u8 = 76;
/// The device or its library is lost; the next process opens it anew.
pub const LOST: u8 = 77;
/// The daemon sent what is no frame, or frames in an impossible order.
pub const PROTOCOL: u8 = 78;
/// The token could not be opened; the daemon was told why in `Hello`.
pub const NOT_OPENED: u8 = 79;

/// How long exit handlers may take before the process kills itself.
const EXIT_HANDLERS: Duration = Duration::from_millis(500);

/// Ends the process for certain.
///
/// `exit(3)` runs the exit handlers of vendor libraries, and those may wait for the very lock that a stuck
/// thread holds; so a second thread stands by with SIGKILL.
pub(crate) fn now(code: u8) -> ! {
    let standby = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(EXIT_HANDLERS);
        kill_self();
    });
    if standby.is_err() {
        kill_self();
    }
    std::process::exit(i32::from(code))
}

/// From now on every panic, on any thread, ends the process after the usual message.
pub(crate) fn at_every_panic() {
    let message = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        message(info);
        now(PANIC);
    }));
}

fn kill_self() {
    // Cannot fail for a process that exists, which we do.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}
