//! Driver errors: the class says what the daemon does next, code and detail are for people.

use serde::{Deserialize, Serialize};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The driver gave up after its own retries; trying again soon may work.
    Transient,
    /// The device or its library is gone; the process exits and a new one starts over.
    Lost,
    /// A credential was refused or is not to be tried: never retried without an operator.
    Auth,
    /// The device refuses all credentials for a while or for good.
    LockedOut,
    /// No such key, and the token itself works.
    KeyMissing,
    /// More than one key matches.
    KeyAmbiguous,
    /// The device cannot do this.
    Unsupported,
    /// The request is wrong; the same request will always fail.
    BadRequest,
    /// Module, label, serial or path in the token's configuration is wrong.
    Config,
    /// The caller cancelled.
    Cancelled,
    /// Nobody touched the key in time.
    TouchTimeout,
}

/// An error of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}{}", if .code.is_empty() { String::new() } else { format!(" ({})", .code) })]
pub struct DriverError {
    /// What to do next.
    pub class: ErrorClass,
    /// The device's own code, such as `CKR_PIN_INCORRECT`; empty where the driver itself objects.
    pub code: String,
    /// A sentence that names token, key or path.
    pub detail: String,
}

impl DriverError {
    /// An error with a device code.
    pub fn new(class: ErrorClass, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            detail: detail.into(),
        }
    }

    /// The request is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ErrorClass::BadRequest, "", detail)
    }

    /// The device cannot do this.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unsupported, "", detail)
    }

    /// The configuration is wrong.
    pub fn config(detail: impl Into<String>) -> Self {
        Self::new(ErrorClass::Config, "", detail)
    }
}
