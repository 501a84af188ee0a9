//! Who is calling: the one identity in a client certificate, and what the directory knows of it.

use std::fmt;

use der::Decode as _;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::name::Tenant;

/// The identity a certificate proves: exactly one URI SAN, or one DNS SAN where the domain allows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// A URI SAN, unchanged: `spiffe://site/ci/runner`.
    Uri(String),
    /// A DNS SAN.
    Dns(String),
}

impl Identity {
    /// The text that policy and records use.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Uri(text) | Self::Dns(text) => text,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Longest identity in bytes.
pub const IDENTITY_MAX: usize = 2048;

/// Why a valid certificate still names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate does not parse.
    #[error("the client certificate is not X.509 DER")]
    NotACertificate,
    /// No usable subject alternative name; the common name never counts.
    #[error(
        "the client certificate has no URI subject alternative name (a common name is no identity)"
    )]
    None,
    /// Only a DNS name, where the trust domain wants a URI.
    #[error(
        "the client certificate has only a DNS name; this trust domain takes URI names (dns_identities = false)"
    )]
    DnsNotAllowed,
    /// More than one candidate.
    #[error("the client certificate has {0} identities; exactly one is allowed")]
    Several(usize),
    /// Control characters, spaces or excessive length.
    #[error(
        "the identity in the client certificate is empty, too long or has characters that no URI has"
    )]
    Malformed,
}

/// Reads the one identity out of a certificate whose path has been verified already.
pub fn identity_of(certificate_der: &[u8], dns_allowed: bool) -> Result<Identity, IdentityError> {
    let certificate =
        Certificate::from_der(certificate_der).map_err(|_| IdentityError::NotACertificate)?;
    let names = match certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
    {
        Ok(Some((_, names))) => names.0,
        Ok(None) => return Err(IdentityError::None),
        Err(_) => return Err(IdentityError::NotACertificate),
    };
    let texts = |pick: fn(&GeneralName) -> Option<&str>| -> Vec<String> {
        names.iter().filter_map(pick).map(str::to_owned).collect()
    };
    let mut uris = texts(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    let mut dns = texts(|name| match name {
        GeneralName::DnsName(dns) => Some(dns.as_str()),
        _ => None,
    });
    match (uris.len(), dns.len()) {
        (1, _) => well_formed(uris.remove(0)).map(Identity::Uri),
        (0, 1) if dns_allowed => well_formed(dns.remove(0)).map(Identity::Dns),
        (0, 0) => Err(IdentityError::None),
        (0, _) if !dns_allowed => Err(IdentityError::DnsNotAllowed),
        (0, several) | (several, _) => Err(IdentityError::Several(several)),
    }
}

fn well_formed(text: String) -> Result<String, IdentityError> {
    let ok = (1..=IDENTITY_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if ok {
        Ok(text)
    } else {
        Err(IdentityError::Malformed)
    }
}

/// What a principal may be used for; permissions themselves are the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Asks for signatures.
    Client,
    /// Enrols, suspends and resumes keys.
    Operator,
    /// Approves what needs a second person.
    Approver,
    /// Reads the audit log.
    Auditor,
    /// Carries checkpoints to witnesses.
    Courier,
    /// Answers for the base metrics of scores.
    SecurityEngineer,
    /// Answers for their threat metrics.
    SocAnalyst,
    /// Answers for their environmental metrics.
    CustomerAdmin,
    /// Reads receipts.
    Viewer,
}

impl Role {
    /// The name used in configuration and policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Courier => "courier",
            Self::SecurityEngineer => "security-engineer",
            Self::SocAnalyst => "soc-analyst",
            Self::CustomerAdmin => "customer-admin",
            Self::Viewer => "viewer",
        }
    }
}

/// A caller the directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The identity's text.
    pub id: String,
    /// The tenant whose keys it may ask for.
    pub tenant: Tenant,
    /// Its roles.
    pub roles: Vec<Role>,
}

impl Principal {
    /// Whether it has `role`.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// The kernel's word on the process at the other end of the socket (`SO_PEERCRED`).
///
/// A further condition for policy, never an authority alone: a process may have passed its socket on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCred {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id; 0 where the kernel gave none.
    pub pid: i32,
}
