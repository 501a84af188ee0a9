//! The process every driver binary is: arguments, credential, sandbox, and the loop that serves the daemon.
//!
//! A driver binary is one line around its `open`:
//!
//! ```no_run
//! # use sealwright_driver_api::{DriverError, Token, TokenConfig};
//! # fn open(_: &TokenConfig, _: &sealwright_driver_host::Secrets) -> Result<Box<dyn Token>, DriverError> {
//! #     Err(DriverError::config("no token"))
//! # }
//! fn main() -> std::process::ExitCode {
//!     sealwright_driver_host::main("pkcs11", open)
//! }
//! ```
//!
//! The host owns what is the same for every device. The main thread reads frames, one worker thread per
//! session calls the [`KeyDriver`](sealwright_driver_api::KeyDriver), and a watchdog thread that never enters
//! vendor code ends the process when a request outlives its deadline ([`exit`] lists the codes). Nobody
//! supervises by force: the socket activator starts the next process on the next connection.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod approve;
mod args;
mod certificates;
pub mod exit;
mod key_files;
mod listen;
mod login_mark;
mod named;
mod pem;
mod reader;
mod replies;
mod sandbox;
mod secrets;
mod self_test;
mod serve;
mod watchdog;
mod work;
mod worker;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser as _};
use sealwright_driver_api::{DriverError, Token, TokenConfig};

pub use key_files::KeyFiles;
pub use login_mark::LOGIN_MARK;
pub use named::{Address, ObjectName};
pub use pem::pem_chain;
pub use sandbox::Sandbox;
pub use secrets::{CREDENTIAL_MAX, Secret, Secrets};

/// The bindings of TPMs and YubiKeys log every answer that is no success, also those that a driver expects and handles.
const LOG_LEVELS: &str = "info,tss_esapi=off,yubikey=off";

/// Opens the one token of a configuration. Called once per process, before any worker exists.
pub type Open = fn(&TokenConfig, &Secrets) -> Result<Box<dyn Token>, DriverError>;

/// Names what a driver needs to touch under its configuration.
pub type Paths = fn(&TokenConfig) -> Result<Sandbox, DriverError>;
/// Wraps the stream to the daemon; the writer gets one whole frame per call.
pub type Frames = fn(&TokenConfig, UnixStream) -> Box<dyn Write + Send>;

/// A driver without a sandbox of its own: see [`Driver::main`].
pub fn main(kind: &'static str, open: Open) -> ExitCode {
    Driver::new(kind, open).main()
}

/// What makes one driver binary differ from another.
#[derive(Clone, Copy)]
pub struct Driver {
    kind: &'static str,
    open: Open,
    sandbox: Option<Paths>,
    frames: Frames,
}

impl Driver {
    /// A driver for tokens whose configuration says `kind`.
    pub const fn new(kind: &'static str, open: Open) -> Self {
        Self {
            kind,
            open,
            sandbox: None,
            frames: |_, stream| Box::new(stream),
        }
    }

    /// Confines the process with landlock, before its first thread, to what the host needs anyway and the
    /// paths `paths` names.
    pub const fn sandboxed(mut self, paths: Paths) -> Self {
        self.sandbox = Some(paths);
        self
    }

    /// Puts a writer between host and daemon. For drivers that lie on purpose.
    pub const fn writing_through(mut self, frames: Frames) -> Self {
        self.frames = frames;
        self
    }

    /// Parses the command line and does what it says; the whole life of the process.
    pub fn main(self) -> ExitCode {
        let args = args::Args::parse();
        sealwright_logging::start(LOG_LEVELS);
        exit::at_every_panic();
        match self.run(&args) {
            Ok(code) => code,
            Err(error) => {
                match args.command() {
                    args::Command::Serve => tracing::error!("{error}"),
                    _ => eprintln!("sealwright-driver-{}: {error}", self.kind),
                }
                ExitCode::FAILURE
            }
        }
    }

    fn run(self, args: &args::Args) -> Result<ExitCode, HostError> {
        if let args::Command::Manual(manual) = args.command() {
            let command = <args::Args as CommandFactory>::command().name(self.program());
            let printed = manual.run(command).map_err(HostError::Print);
            return printed.map(|()| ExitCode::SUCCESS);
        }
        let file = args.config.as_deref().ok_or(HostError::NoConfig)?;
        let config = TokenConfig::read(file)?;
        // The listener is taken first: the sandbox forbids nothing that is open already.
        let listener = match args.command() {
            args::Command::Serve => Some(listen::Listener::from_environment(&args.peer_uid)?),
            _ => None,
        };
        let prepared = self.prepare(args, file, &config);
        let secrets = Secrets::new(&config);
        match listener {
            // What is wrong from here on the daemon is told in `Hello`, or nobody would know why nothing signs.
            Some(listener) => Ok(serve::serve(self, &config, &secrets, prepared, &listener)),
            None => prepared
                .map_err(HostError::Driver)
                .and_then(|()| admin::run(self, args, &config, &secrets)),
        }
    }

    /// For the manual: the library names no binary.
    fn program(self) -> &'static str {
        // Never freed, in a process that prints a page and ends.
        Box::leak(format!("sealwright-driver-{}", self.kind).into_boxed_str())
    }

    fn prepare(
        self,
        args: &args::Args,
        file: &Path,
        config: &TokenConfig,
    ) -> Result<(), DriverError> {
        if config.kind != self.kind {
            return Err(DriverError::config(format!(
                "kind = {:?}, but this program drives {:?}: start sealwright-driver-{0} or correct the kind",
                config.kind, self.kind
            )));
        }
        sandbox::prepare_state_dir(config)?;
        let enforced = match self.sandbox {
            Some(paths) => sandbox::enter(config, file, paths(config)?)?,
            None => sandbox::Enforced::No,
        };
        if args.require_landlock && enforced == sandbox::Enforced::No {
            return Err(DriverError::config(
                "landlock does not confine this process: the kernel lacks it, or the unit's system-call filter forbids it; \
                 leave --require-landlock out where that is known and accepted",
            ));
        }
        self_test::run(enforced)
    }
}

/// Why the process could not begin its work.
#[derive(Debug, thiserror::Error)]
enum HostError {
    #[error("no configuration: name the token's with --config /etc/sealwright/tokens/NAME.toml")]
    NoConfig,
    #[error(transparent)]
    Config(#[from] sealwright_driver_api::TokenConfigError),
    #[error("no listening socket: start this under its systemd socket unit or with sealwright-run")]
    NoListener,
    #[error("the socket passed as file descriptor 3 cannot be used: {0}")]
    Listener(std::io::Error),
    #[error("no user is called {0:?}: give --peer-uid a number or a name from /etc/passwd")]
    NoUser(String),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("standard input: {0}")]
    Input(std::io::Error),
    #[error("cannot print the answer: {0}")]
    Print(std::io::Error),
}
