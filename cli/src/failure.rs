//! Why a command did not succeed, and the exit code that says so to scripts.

use sealwright_client::ClientError;

/// Text for `--help` and the manual.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; verified; nothing found; allowed
  1  does not verify; something found; not allowed by the policy that was checked
  2  wrong usage, or a local file or program that cannot be used
  3  denied by the daemon
  4  the daemon cannot be reached, or is not the one the CA vouches for
  5  the daemon refused or failed for another reason
  6  nothing was done yet: it waits for approvals";

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was looked at is not as it should be.
    #[error("{0}")]
    NotGood(String),
    /// Flags, local files or local programs.
    #[error("{0}")]
    Local(String),
    /// It goes on once approvals are there.
    #[error("{why}")]
    Waits {
        /// What has to be approved.
        operation: u64,
        /// What was done so far, and what comes next.
        why: String,
    },
    /// The daemon, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Failure {
    /// See [`EXIT_CODES`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotGood(_) => 1,
            Self::Local(_) => 2,
            Self::Waits { .. } => 6,
            Self::Client(error) => client_code(error),
        }
    }

    /// For errors of this computer: flags, files, programs.
    pub(crate) fn local(error: impl ToString) -> Self {
        Self::Local(error.to_string())
    }

    /// For what does not verify.
    pub(crate) fn not_good(error: impl ToString) -> Self {
        Self::NotGood(error.to_string())
    }
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Settings(_) | ClientError::Pem { .. } | ClientError::Request(_) => 2,
        ClientError::Certificate { .. } => 3,
        ClientError::Api(refusal) if matches!(refusal.status, 401 | 403) => 3,
        ClientError::Connect { .. }
        | ClientError::Server { .. }
        | ClientError::Broken { .. }
        | ClientError::Timeout { .. } => 4,
        ClientError::Waits(_) => 6,
        ClientError::Api(_)
        | ClientError::Working(_)
        | ClientError::TooLarge
        | ClientError::Unexpected(_) => 5,
    }
}
