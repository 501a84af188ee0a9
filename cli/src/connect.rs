//! From flags and environment to a connected client.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealwright_client::{Client, ClientError, Settings, SettingsError, TokenFiles};

use crate::certificate;
use crate::failure::Failure;

/// How to reach the daemon.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The daemon's socket [default: /run/sealwright/api.sock].
    #[arg(long, value_name = "PATH", env = "SEALWRIGHT_SOCKET")]
    socket: Option<PathBuf>,
    /// Your certificate, PEM.
    #[arg(long, value_name = "PEM", env = "SEALWRIGHT_CERT")]
    cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "PEM", env = "SEALWRIGHT_KEY")]
    client_key: Option<PathBuf>,
    /// The CA that vouches for the daemon, PEM.
    #[arg(long, value_name = "PEM", env = "SEALWRIGHT_CA")]
    ca: Option<PathBuf>,
    /// An access token that goes along, where the policy asks for one; read anew for every request.
    #[arg(long, value_name = "FILE", env = "SEALWRIGHT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The P-256 key that the token is bound to, PEM; without one it is sent as Bearer.
    #[arg(long, value_name = "PEM", env = "SEALWRIGHT_DPOP_KEY")]
    dpop_key: Option<PathBuf>,
}

impl Connection {
    /// Connects and runs `work` with the client.
    pub(crate) fn run<T, E, F>(self, work: impl FnOnce(Client) -> F) -> Result<T, Failure>
    where
        E: Into<Failure>,
        F: Future<Output = Result<T, E>>,
    {
        let settings = self.settings().map_err(ClientError::from)?;
        warn_of_expiry(&settings.cert);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(Failure::local)?;
        runtime.block_on(async {
            let client = Client::connect(settings).await?;
            work(client).await.map_err(Into::into)
        })
    }

    /// The paths, as far as they are all given.
    pub(crate) fn settings(self) -> Result<Settings, SettingsError> {
        let settings = Settings::new(self.socket, self.cert, self.client_key, self.ca)?;
        Ok(settings.with_token(TokenFiles {
            token: self.token_file,
            dpop_key: self.dpop_key,
        }))
    }

    /// Whether anything but the socket is given.
    pub(crate) fn has_identity(&self) -> bool {
        self.cert.is_some() || self.client_key.is_some() || self.ca.is_some()
    }
}

/// Whoever runs the command learns it while there is time. An unreadable certificate is what connecting finds.
fn warn_of_expiry(path: &Path) {
    let facts = certificate::read_first(path).ok();
    let left = facts.and_then(|facts| facts.days_left_if_soon(SystemTime::now()));
    if let Some(days) = left {
        let path = path.display();
        eprintln!(
            "sealwright: warning: your certificate {path} expires in {days} days; get another one from the site's CA"
        );
    }
}
