//! The built driver behind its socket, started again by each connection as the activator would.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::Command;

use sealwright_softhsm_tests::activated::{self, Activated};

use super::Host;

/// A socket whose connections are served by the driver's binary.
pub struct Activator {
    program: Command,
    activated: Activated,
}

impl Activator {
    pub fn of(host: &Host) -> Self {
        let program = env!("CARGO_BIN_EXE_sealwright-driver-tpm2");
        let mut program = activated::driver(program, &host.write());
        program.env("TSS2_LOG", "all+NONE");
        Self {
            program,
            activated: Activated::at(&host.socket()).unwrap(),
        }
    }

    /// Kills the process that runs, if any, starts another one and connects to it.
    pub fn connect(&mut self) -> io::Result<UnixStream> {
        self.activated.connect(&self.program)
    }

    /// Ends the process without giving it a chance to tidy up.
    pub fn kill(&mut self) {
        self.activated.kill();
    }
}
