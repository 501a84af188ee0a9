//! Registrations: what an authenticator says of a key that it has just made, and who vouches for it (WebAuthn section 8).

use ciborium::Value;
use der::asn1::OctetString;
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::ext::pkix::BasicConstraints;

use super::authenticator_data::{AttestedCredential, AuthenticatorData, DataError};
use super::cose::ES256;
use crate::digest::Sha256Digest;
use crate::scheme::Scheme;
use crate::time::Timestamp;
use crate::verify::{VerifyError, verify_message};
use crate::x509;

/// Longest attestation object in bytes: some certificates and a key.
const OBJECT_MAX: usize = 32 << 10;
/// Nesting in it.
const DEPTH_MAX: usize = 8;
/// Certificates in it.
const CHAIN_MAX: usize = 8;
/// Where a certificate names the model it is for: id-fido-gen-ce-aaguid (section 8.2.1).
const AAGUID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");
/// What the subject of a certificate for attestation says of itself (section 8.2.1).
const UNIT: &str = "OU=Authenticator Attestation";

/// Who vouches for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouching {
    /// Nobody.
    Nobody,
    /// The key itself: it is what it is.
    Itself,
    /// A certificate of a maker that nobody here knows.
    UnknownMaker,
    /// A certificate of the maker, which leads to one of the roots that were given.
    Maker,
}

/// A registration that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Who vouches for it.
    pub by: Vouching,
    /// The new key.
    pub credential: AttestedCredential,
    /// Whether somebody showed a PIN or a finger when it was made.
    pub user_verified: bool,
}

/// Why a registration does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// Too long or no CBOR of that shape.
    #[error("this is no attestation object of at most {OBJECT_MAX} bytes")]
    Object,
    /// authenticatorData in it cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It registers nothing.
    #[error("the attestation object holds no key")]
    NoKey,
    /// For somebody else.
    #[error("the key was made for another relying party than {0:?}")]
    RelyingParty(String),
    /// Nobody touched it.
    #[error("nobody touched the authenticator when the key was made")]
    Presence,
    /// A format that is not read.
    #[error(
        "attestation format {0:?} is none that this program verifies; it knows none and packed"
    )]
    Format(String),
    /// The statement lacks something.
    #[error("the attestation statement is malformed: {0}")]
    Statement(&'static str),
    /// The certificate cannot vouch for this.
    #[error("the attestation certificate {0}")]
    Certificate(&'static str),
    /// The signature is no good.
    #[error("the attestation's signature: {0}")]
    Signature(#[from] VerifyError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    fmt: String,
    #[serde(rename = "attStmt")]
    statement: Value,
    #[serde(rename = "authData")]
    data: Value,
}

/// Makers that are believed, and when: certificates have to be valid then.
#[derive(Debug, Clone, Copy)]
pub struct Makers<'r> {
    /// Their roots.
    pub roots: &'r [Certificate],
    /// The time.
    pub now: Timestamp,
}

impl Attestation {
    /// Verifies an attestation object that answers `client_data`, for the relying party `rp_id`.
    ///
    /// # Errors
    /// Why it does not hold. A certificate of an unknown maker is no error but [`Vouching::UnknownMaker`].
    pub fn verify(
        object: &[u8],
        client_data: &[u8],
        rp_id: &str,
        makers: Makers<'_>,
    ) -> Result<Self, AttestationError> {
        let Object {
            fmt,
            statement,
            data,
        } = read(object)?;
        let bytes = data.as_bytes().ok_or(AttestationError::Object)?;
        let data = AuthenticatorData::parse(bytes)?;
        let credential = data.credential.ok_or(AttestationError::NoKey)?;
        if data.rp_id_sha256 != Sha256Digest::of(&[rp_id.as_bytes()]).0 {
            return Err(AttestationError::RelyingParty(rp_id.to_owned()));
        }
        if !data.user_present {
            return Err(AttestationError::Presence);
        }
        let by = match fmt.as_str() {
            "none" => Vouching::Nobody,
            "packed" => {
                let digest = Sha256Digest::of(&[client_data]);
                let signed = [bytes.as_slice(), &digest.0];
                Packed::read(&statement)?.vouches(&signed, &credential, makers)?
            }
            _ => return Err(AttestationError::Format(fmt)),
        };
        Ok(Self {
            by,
            credential,
            user_verified: data.user_verified,
        })
    }
}

fn read(object: &[u8]) -> Result<Object, AttestationError> {
    if object.len() > OBJECT_MAX {
        return Err(AttestationError::Object);
    }
    let mut rest = object;
    let read = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX);
    let is_all = rest.is_empty();
    read.ok().filter(|_| is_all).ok_or(AttestationError::Object)
}

/// Section 8.2: by the new key itself, or by a certificate of its maker.
struct Packed<'s> {
    signature: &'s [u8],
    /// Absent where the key vouches for itself.
    chain: Option<Vec<Certificate>>,
}

impl<'s> Packed<'s> {
    fn read(statement: &'s Value) -> Result<Self, AttestationError> {
        let lacks = AttestationError::Statement;
        let algorithm = member(statement, "alg").and_then(Value::as_integer);
        if algorithm != Some(ES256.into()) {
            return Err(lacks("its algorithm is not ES256"));
        }
        let signature = member(statement, "sig").and_then(Value::as_bytes);
        let chain = member(statement, "x5c").map(certificates).transpose()?;
        Ok(Self {
            signature: signature.ok_or(lacks("it has no signature"))?,
            chain,
        })
    }

    fn vouches(
        &self,
        signed: &[&[u8]; 2],
        credential: &AttestedCredential,
        makers: Makers<'_>,
    ) -> Result<Vouching, AttestationError> {
        let Some(chain) = &self.chain else {
            let spki = credential.spki.der();
            verify_message(spki, Scheme::EcdsaP256Sha256, signed, self.signature)?;
            return Ok(Vouching::Itself);
        };
        // An empty list is neither of the two forms; some clients take its first element all the same.
        let empty = AttestationError::Statement("its list of certificates is empty");
        let (leaf, further) = chain.split_first().ok_or(empty)?;
        check_leaf(leaf, &credential.aaguid)?;
        let spki = x509::spki(leaf).ok_or(AttestationError::Certificate("has no public key"))?;
        verify_message(&spki, Scheme::EcdsaP256Sha256, signed, self.signature)?;
        Ok(match leads_to(leaf, further, makers) {
            true => Vouching::Maker,
            false => Vouching::UnknownMaker,
        })
    }
}

fn member<'a>(statement: &'a Value, name: &str) -> Option<&'a Value> {
    let mut members = statement.as_map()?.iter();
    let found = members.find(|(key, _)| key.as_text() == Some(name));
    found.map(|(_, value)| value)
}

fn certificates(chain: &Value) -> Result<Vec<Certificate>, AttestationError> {
    let malformed = || AttestationError::Statement("its certificates are not readable");
    let chain = chain.as_array().filter(|chain| chain.len() <= CHAIN_MAX);
    let read = chain.ok_or_else(malformed)?.iter().map(|certificate| {
        let der = certificate.as_bytes()?;
        Certificate::from_der(der).ok()
    });
    read.collect::<Option<_>>().ok_or_else(malformed)
}

/// Section 8.2.1: a certificate for attestation, no CA's, and for this model where it names one.
fn check_leaf(leaf: &Certificate, aaguid: &[u8; 16]) -> Result<(), AttestationError> {
    let refuse = |why| Err(AttestationError::Certificate(why));
    let body = leaf.tbs_certificate();
    if !body
        .subject()
        .to_string()
        .split(',')
        .any(|part| part == UNIT)
    {
        return refuse("is not one for attestation");
    }
    match body.get_extension::<BasicConstraints>() {
        Ok(Some((_, BasicConstraints { ca: false, .. }))) => {}
        _ => return refuse("does not say that it is no authority's"),
    }
    let extensions = body.extensions().into_iter().flatten();
    for extension in extensions.filter(|extension| extension.extn_id == AAGUID) {
        let inside = OctetString::from_der(extension.extn_value.as_bytes());
        if !inside.is_ok_and(|inside| inside.as_bytes() == aaguid) {
            return refuse("is for another model of authenticator");
        }
    }
    Ok(())
}

/// Whether a path of certificates that are valid leads over `further` to one of the roots.
fn leads_to(leaf: &Certificate, further: &[Certificate], makers: Makers<'_>) -> bool {
    let is_valid = |certificate: &Certificate| x509::is_valid_at(certificate, makers.now);
    let same = |a: &Certificate, b: &Certificate| matches!((a.to_der(), b.to_der()), (Ok(a), Ok(b)) if a == b);
    let ends = |current: &Certificate| {
        let mut roots = makers.roots.iter().filter(|root| is_valid(root));
        roots.any(|root| same(root, current) || x509::has_issued(root, current))
    };
    let path = x509::path(leaf, further, ends);
    path.is_some_and(|path| path.into_iter().all(is_valid))
}
