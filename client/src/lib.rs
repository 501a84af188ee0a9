//! Client of the Sealwright API: HTTP/1.1 over mutual TLS 1.3 over a Unix socket.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sealwright_client::{Client, Format, Settings, SignRequest};
//!
//! let mut client = Client::connect(Settings::from_env()?).await?;
//! let keys = ["release".to_owned()];
//! let statement = std::fs::read("statement.json")?;
//! let signed = client.sign(SignRequest::statement(&keys, Format::Bundle, statement)).await?;
//! std::fs::write("out.sigstore.json", &signed.body)?;
//! println!("record {}", signed.record);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod approvals;
mod calls;
mod connection;
mod erasure;
mod error;
mod receipts;
mod settings;
mod sign;
mod tls;
mod token;
mod types;

pub use approvals::{CertificateKey, Gate, Granted, Operation, PolicyActivated, certificate_chain};
pub use connection::{Client, RESPONSE_MAX};
pub use erasure::{Erasing, Hold, HoldChanged, Retention};
pub use error::{ApiError, ClientError};
pub use receipts::{ReceiptLink, ShownReceipt};
pub use settings::{DEFAULT_SOCKET, SERVER_NAME, Settings, SettingsError};
pub use sign::{Format, SignRequest, Signed, Working};
pub use token::TokenFiles;
pub use types::{
    AnchorStatus, Approvals, ArchivedBody, Attested, ClockAccepted, CosignaturesTaken, Crl,
    DescribedKey, Enrol, ErasedBody, ExpiringCertificate, FreezeChange, FreezeStatus, Generate,
    Key, LogStatus, PredecessorStatus, PrincipalStatus, PublishedTrust, RecordPage, RecordQuery,
    RecordView, Revocation, Rotated, RotationAhead, ScheduledRotation, Status, TokenStatus,
    WitnessStatus,
};
