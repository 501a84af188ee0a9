//! The command line of every driver binary.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sealwright_driver_api::{KeyUri, Scheme};
use sealwright_manual::Manual;

/// Drives one token for sealwrightd.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// The token's configuration, tokens/NAME.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The user whose connections are served; all others are closed.
    #[arg(long, value_name = "UID|NAME", default_value = "sealwright")]
    pub(crate) peer_uid: String,
    /// Refuse the token where landlock does not confine this process; the units ask for it.
    #[arg(long)]
    pub(crate) require_landlock: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Serve the socket passed in by the activator (default).
    Serve,
    /// Find one key and print what the token says of it, as JSON.
    Describe {
        /// The key's URI.
        uri: KeyUri,
    },
    /// Make a key that cannot leave the token, and print it as JSON.
    Generate {
        /// What the key shall sign with.
        #[arg(long)]
        scheme: Scheme,
        /// Modulus length of an RSA key.
        #[arg(long, default_value_t = 3072, value_parser = rsa_bits)]
        rsa_bits: u16,
        /// The URI the key shall have; no key may match it yet.
        uri: KeyUri,
    },
    /// Print the certificate that the token keeps beside a key, as PEM.
    Certificate {
        /// The key's URI.
        uri: KeyUri,
    },
    /// Have the token keep a certificate beside its key, in the place of an older one. It is read from standard input, PEM.
    InstallCertificate {
        /// The key's URI.
        uri: KeyUri,
    },
    /// Sign an approval of dual control, whose statement is on standard input, and print the signature as JSON.
    Approve {
        /// The approver's key.
        uri: KeyUri,
    },
    /// Look for what would keep this token from signing, and print it as JSON.
    Check,
    #[command(flatten)]
    Manual(Manual),
}

impl Args {
    pub(crate) fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Serve)
    }
}

fn rsa_bits(text: &str) -> Result<u16, String> {
    match text {
        "2048" => Ok(2048),
        "3072" => Ok(3072),
        "4096" => Ok(4096),
        _ => Err("RSA keys have 2048, 3072 or 4096 bits".to_owned()),
    }
}
