//! What can go wrong between a caller and the daemon.

use std::path::PathBuf;

use sealwright_core::error::Code;
use serde::Deserialize;

use crate::approvals::Operation;
use crate::connection::RESPONSE_MAX;
use crate::settings::{SERVER_NAME, SettingsError};
use crate::sign::Working;

/// The daemon's refusal (RFC 9457 `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{title} ({code}{}, request {request_id})", .detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Stable code; a newer daemon may use codes that this library does not know.
    pub code: String,
    /// One line for people.
    pub title: String,
    /// What is wrong with this request, where the daemon says so.
    #[serde(default)]
    pub detail: Option<String>,
    /// The id to give to an operator.
    #[serde(default)]
    pub request_id: String,
}

impl ApiError {
    /// The code, if this library knows it.
    pub fn known_code(&self) -> Option<Code> {
        Code::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == self.code)
    }
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Something is not set.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A PEM file cannot be used.
    #[error("{path}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens, or the socket is not for this user.
    #[error(
        "cannot connect to {socket}: {source}; is sealwrightd running, and is this user in the socket's group?"
    )]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The daemon is not whom the CA bundle vouches for.
    #[error(
        "{socket} is not a daemon that {ca} vouches for: {reason}; the certificate must be for {SERVER_NAME}"
    )]
    Server {
        /// The socket.
        socket: PathBuf,
        /// The CA bundle.
        ca: PathBuf,
        /// TLS's reason.
        reason: String,
    },
    /// The daemon does not take the client certificate.
    #[error(
        "the daemon does not accept the certificate {cert}: {reason}; look at its expiry, and for its CA among the [[domain]] sections of sealwright.toml"
    )]
    Certificate {
        /// The client certificate.
        cert: PathBuf,
        /// TLS's reason.
        reason: String,
    },
    /// The connection broke, or is full and was closed at accept.
    #[error("the connection to {socket} broke: {reason}")]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {socket} within {seconds} s")]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The daemon refused the request.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nothing was done yet.
    #[error(
        "it waits for {missing} of its approvals, as operation {operation}; next: an approver runs `sealwright approve grant {operation}`, then run this command again",
        missing = .0.missing, operation = .0.operation
    )]
    Waits(Box<Operation>),
    /// It goes on without this connection; [`crate::Client::sign`] asks until it is answered.
    #[error("the daemon is still at work on request {id}", id = .0.operation)]
    Working(Box<Working>),
    /// The answer is larger than [`RESPONSE_MAX`].
    #[error("the answer is larger than {RESPONSE_MAX} bytes")]
    TooLarge,
    /// The answer is not what the API promises.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// A request cannot be expressed in HTTP.
    #[error("the request cannot be sent: {0}")]
    Request(String),
}
