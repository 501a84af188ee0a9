//! From a loaded module to a logged-in token, and back.

use std::path::PathBuf;

use cryptoki::session::{Session, SessionState};
use cryptoki::slot::{Slot, TokenInfo};
use sealwright_driver_api::{DriverError, TokenConfig};
use sealwright_driver_host::{LOGIN_MARK, Secrets};

use crate::fault::{Fault, code};
use crate::login::{PinState, log_in};
use crate::module::Module;

/// Makes connections to one token of one module.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) module: Module,
    pub(crate) label: String,
    pub(crate) serial: String,
    secrets: Secrets,
    mark: PathBuf,
}

/// A token this process is logged in to.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) slot: Slot,
    // Closing the last session logs the process out, so one stays open beside those that work.
    _anchor: Session,
}

impl Connector {
    pub(crate) fn new(module: Module, config: &TokenConfig, secrets: &Secrets) -> Self {
        Self {
            module,
            label: config.label.clone(),
            serial: config.serial.clone(),
            secrets: secrets.clone(),
            mark: config.state_dir.join(LOGIN_MARK),
        }
    }

    /// Initializes the module, finds the token and logs in. After an error the module is finalized again.
    pub(crate) fn connect(&self) -> Result<Connection, DriverError> {
        self.module.initialize()?;
        let connected = self.attach();
        if connected.is_err() {
            self.module.finalize();
        }
        connected
    }

    fn attach(&self) -> Result<Connection, DriverError> {
        let (slot, info) = self.module.find_token(&self.label, &self.serial)?;
        let doing = format!("opening token {}", self.label);
        let anchor = self.module.context().open_ro_session(slot);
        let anchor = anchor.map_err(|error| Fault::of(&doing, &error).error)?;
        PinState::of(&info).check(&self.label, self.mark.exists())?;
        self.secrets
            .login(|pin| log_in(&anchor, &self.label, pin))?;
        Ok(Connection {
            slot,
            _anchor: anchor,
        })
    }

    /// Closes the anchor and finalizes the module. Every other session has to be closed already: one that
    /// is closed after the next C_Initialize could close a new session that got its handle.
    pub(crate) fn disconnect(&self, connection: Connection) {
        drop(connection);
        self.module.finalize();
    }

    /// A read-only session, which suffices to sign. It is logged in, because the anchor is.
    pub(crate) fn open_session(&self, slot: Slot) -> Result<Session, Fault> {
        let doing = format!("opening a session on token {}", self.label);
        let fault = |error| Fault::of(&doing, &error);
        let session = self.module.context().open_ro_session(slot).map_err(fault)?;
        match session.get_session_info().map_err(fault)?.session_state() {
            SessionState::RoUser => Ok(session),
            // The token was away for a moment and took the login with it.
            state => Err(Fault::lost(
                "",
                format!("{doing}: it is {state:?}, not logged in"),
            )),
        }
    }

    /// A session for the one call that writes to the token.
    pub(crate) fn open_rw_session(&self, slot: Slot) -> Result<Session, Fault> {
        let doing = format!("opening token {} for writing", self.label);
        self.module
            .context()
            .open_rw_session(slot)
            .map_err(|error| Fault::of(&doing, &error))
    }

    /// Asks the token itself. A session's own information is no sign of life: it never leaves the module.
    pub(crate) fn check_token(&self, slot: Slot) -> Result<TokenInfo, Fault> {
        let info = self
            .module
            .context()
            .get_token_info(slot)
            .map_err(|error| {
                Fault::lost(
                    code(&error),
                    format!("token {} does not answer", self.label),
                )
            })?;
        if info.label() == self.label && info.serial_number() == self.serial {
            return Ok(info);
        }
        let other = format!("{:?} with serial {:?}", info.label(), info.serial_number());
        Err(Fault::lost(
            "",
            format!("token {} was exchanged for {other}", self.label),
        ))
    }
}
