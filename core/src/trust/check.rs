//! What a trust document must not say.

use std::collections::HashSet;

use super::{Content, DOCUMENT_MAX, FORMAT, Log, Version};
use crate::digest::Sha256Digest;
use crate::dsse::{Envelope, EnvelopeError};
use crate::json::JsonError;
use crate::key::KeyState;
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::tlog::VerifierKey;
use crate::tlog::vkey::VkeyError;
use crate::verify::VerifyError;

/// Why bytes are no trust document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Longer than [`DOCUMENT_MAX`].
    #[error("a trust document has at most {DOCUMENT_MAX} bytes, not {0}")]
    TooLong(usize),
    /// Another kind of file, or a version of the format from the future.
    #[error(
        "the member `format` says {0:?}, not {FORMAT:?}: another file, or made by a newer sealwright"
    )]
    Format(String),
    /// Not JSON, or a member is missing, unknown or of another type.
    #[error("the trust document is refused: {0}")]
    Json(#[from] JsonError),
    /// The log's vkey is none.
    #[error("the log's vkey: {0}")]
    Vkey(#[from] VkeyError),
    /// The log's name is not that of its key.
    #[error("the log's origin is {origin:?}, and its vkey is one of {vkey:?}")]
    Origin {
        /// What `origin` says.
        origin: String,
        /// The name in the vkey.
        vkey: String,
    },
    /// A log stands there twice.
    #[error("the log {0} stands there twice")]
    SecondLog(String),
    /// A key stands there twice.
    #[error("the key {0} stands there twice")]
    SecondKey(KeyName),
    /// A published document with a key of another tenant.
    #[error("it is published for tenant {tenant} and lists {key}")]
    OtherTenant {
        /// Whose document it is.
        tenant: Tenant,
        /// The key that does not belong there.
        key: KeyName,
    },
    /// A version contradicts itself or another one.
    #[error("{key}: {reason}")]
    Version {
        /// The version.
        key: KeyVersionId,
        /// What is wrong with it.
        reason: Contradiction,
    },
}

/// What is wrong with a version.
#[derive(Debug, thiserror::Error)]
pub enum Contradiction {
    /// Not in ascending order from 1.
    #[error("versions count from 1, oldest first and each once")]
    Order,
    /// The key id is another key's.
    #[error("the keyid is not that of the public key")]
    KeyId,
    /// The public key cannot be used, or not with the scheme.
    #[error("the public key cannot be used: {0}")]
    PublicKey(#[from] VerifyError),
    /// Two versions are one key: which life would count?
    #[error("another version has the same public key")]
    SameKey,
    /// `active_from`, `active_until` and `state` do not go together.
    #[error("the state {0:?} does not go with active_from and active_until")]
    Window(KeyState),
    /// A compromised version that signs.
    #[error("it is compromised and {0:?}: a compromised version signs nothing")]
    Compromised(KeyState),
    /// The succession is no envelope.
    #[error("its succession: {0}")]
    Succession(#[from] EnvelopeError),
}

pub(super) fn checked(content: Content) -> Result<Content, DocumentError> {
    let mut logs = HashSet::new();
    for log in std::iter::once(&content.log).chain(&content.former_logs) {
        check_log(log)?;
        if !logs.insert(&log.origin) {
            return Err(DocumentError::SecondLog(log.origin.clone()));
        }
    }
    let tenant = content
        .published
        .as_ref()
        .map(|published| &published.tenant);
    let (mut names, mut spkis) = (HashSet::new(), HashSet::new());
    for key in &content.keys {
        if !names.insert(&key.name) {
            return Err(DocumentError::SecondKey(key.name.clone()));
        }
        if let Some(tenant) = tenant.filter(|tenant| *tenant != key.name.tenant()) {
            return Err(DocumentError::OtherTenant {
                tenant: tenant.clone(),
                key: key.name.clone(),
            });
        }
        let mut last = 0;
        for version in &key.versions {
            check_version(version, last, &mut spkis).map_err(|reason| DocumentError::Version {
                key: key.name.version(version.version),
                reason,
            })?;
            last = version.version;
        }
    }
    Ok(content)
}

fn check_log(log: &Log) -> Result<(), DocumentError> {
    let vkey: VerifierKey = log.vkey.parse()?;
    if vkey.name() == log.origin {
        return Ok(());
    }
    Err(DocumentError::Origin {
        origin: log.origin.clone(),
        vkey: vkey.name().to_owned(),
    })
}

fn check_version(
    version: &Version,
    last: u32,
    spkis: &mut HashSet<Sha256Digest>,
) -> Result<(), Contradiction> {
    if version.version <= last {
        return Err(Contradiction::Order);
    }
    if version.keyid != version.spki.keyid() {
        return Err(Contradiction::KeyId);
    }
    version.trusted()?;
    if !spkis.insert(version.spki.sha256()) {
        return Err(Contradiction::SameKey);
    }
    check_window(version)?;
    if let Some(succession) = &version.succession {
        let text =
            serde_json::to_vec(succession).map_err(|e| EnvelopeError::Json(JsonError::Form(e)))?;
        Envelope::parse(&text)?;
    }
    Ok(())
}

fn check_window(version: &Version) -> Result<(), Contradiction> {
    let state = version.state;
    let (begun, ended) = (
        version.active_from.is_some(),
        version.active_until.is_some(),
    );
    if !state.fits(begun, ended) {
        return Err(Contradiction::Window(state));
    }
    if version.compromise.is_some() && matches!(state, KeyState::Active | KeyState::Suspended) {
        return Err(Contradiction::Compromised(state));
    }
    Ok(())
}
