//! What an approver signs with: the key of the certificate he connects with, or one that a FIDO2 security key holds.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_client::{CertificateKey, certificate_chain};
use sealwright_core::approval::FIDO2_SCHEME;
use sealwright_core::dsse::Pae;
use sealwright_core::scheme::Scheme;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::uri::KeyUri;

use crate::driver::{self, DriverProgram};
use crate::failure::Failure;

/// A security key at this machine.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "With a FIDO2 security key")]
pub(crate) struct Device {
    /// Its configuration, as tokens/NAME.toml of a daemon.
    #[arg(long, value_name = "FILE", requires_all = ["fido2_key", "fido2_cert"])]
    fido2: Option<PathBuf>,
    /// Your key on it, as fido2:object=NAME.
    #[arg(long, value_name = "URI", requires = "fido2")]
    fido2_key: Option<KeyUri>,
    /// The certificate of that key, PEM.
    #[arg(long, value_name = "PEM", requires = "fido2")]
    fido2_cert: Option<PathBuf>,
}

/// A key with its certificates.
#[derive(Debug)]
pub(super) struct ApproversKey {
    cert: PathBuf,
    with: With,
}

#[derive(Debug)]
enum With {
    File(CertificateKey),
    Device(Vec<Vec<u8>>, DriverProgram, KeyUri),
}

impl Device {
    /// The key on the security key where one was named, else the one in the files.
    pub(super) fn key(&self, cert: &Path, key: &Path) -> Result<ApproversKey, Failure> {
        let (cert, with) = match (&self.fido2, &self.fido2_key, &self.fido2_cert) {
            (Some(config), Some(uri), Some(own)) => {
                let program = DriverProgram {
                    path: driver::find("fido2")?,
                    config: config.clone(),
                    user: None,
                };
                (
                    own,
                    With::Device(certificate_chain(own)?, program, uri.clone()),
                )
            }
            _ => (
                &cert.to_owned(),
                With::File(CertificateKey::read(cert, key)?),
            ),
        };
        Ok(ApproversKey {
            cert: cert.clone(),
            with,
        })
    }
}

impl ApproversKey {
    /// The file of its certificate.
    pub(super) fn path(&self) -> &Path {
        &self.cert
    }

    /// DER, the holder's own first.
    pub(super) fn certificates(&self) -> Vec<&[u8]> {
        match &self.with {
            With::File(key) => key.certificates().iter().map(|der| &**der).collect(),
            With::Device(certificates, ..) => certificates.iter().map(Vec::as_slice).collect(),
        }
    }

    /// Signs a statement as DSSE has it; with the scheme where that is not the usual one of such a key.
    pub(super) fn sign(&self, statement: &[u8]) -> Result<(Vec<u8>, Option<Scheme>), Failure> {
        let pae = Pae {
            payload_type: PAYLOAD_TYPE,
            payload: statement,
        };
        match &self.with {
            With::File(key) => {
                let signature = key.sign(&pae.to_vec()).map_err(Failure::local)?;
                Ok((signature, None))
            }
            With::Device(_, program, uri) => {
                eprintln!("touch the security key: {uri} waits for it");
                let approved = program.approve(uri, statement)?;
                if approved.scheme != FIDO2_SCHEME {
                    let why = "an approval wants the PIN of the security key: name its file as `credential` in";
                    return Err(Failure::Local(format!(
                        "{why} {}",
                        program.config.display()
                    )));
                }
                let signature = STANDARD
                    .decode(&approved.signature)
                    .map_err(Failure::local)?;
                Ok((signature, Some(approved.scheme)))
            }
        }
    }
}
