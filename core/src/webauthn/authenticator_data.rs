//! What an authenticator says of itself and of the person at it (WebAuthn section 6.1).

use ciborium::Value;

use super::cose::{self, CoseError};
use crate::spki::Spki;

/// User present.
const UP: u8 = 1;
/// User verified.
const UV: u8 = 1 << 2;
/// Attested credential data follows.
const AT: u8 = 1 << 6;
/// Extensions follow.
const ED: u8 = 1 << 7;

/// Longest credential id (WebAuthn section 4).
const CREDENTIAL_ID_MAX: usize = 1023;
/// Nesting in CBOR from an authenticator; extensions that are known nest once.
const DEPTH_MAX: usize = 8;

/// authenticatorData, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatorData {
    /// SHA-256 of the relying party's id.
    pub rp_id_sha256: [u8; 32],
    /// Somebody touched the authenticator.
    pub user_present: bool,
    /// Somebody showed it a PIN or a finger.
    pub user_verified: bool,
    /// How often it signed; 0 where it does not count. Across all its keys, with some.
    pub sign_count: u32,
    /// The new key, in a registration.
    pub credential: Option<AttestedCredential>,
}

/// A key that an authenticator has just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedCredential {
    /// The authenticator's model.
    pub aaguid: [u8; 16],
    /// By which the key is asked for.
    pub id: Vec<u8>,
    /// Its public half, ES256.
    pub spki: Spki,
}

/// The bytes are no authenticatorData.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Cut off, or followed by something.
    #[error("authenticatorData has {0} bytes, which is not what its flags say")]
    Length(usize),
    /// A credential id that is too long.
    #[error("a credential id has at most {CREDENTIAL_ID_MAX} bytes, this one {0}")]
    CredentialId(usize),
    /// A part that is no CBOR.
    #[error("authenticatorData holds {0} that cannot be read as CBOR")]
    Cbor(&'static str),
    /// The key in it cannot be used.
    #[error(transparent)]
    Key(#[from] CoseError),
}

impl AuthenticatorData {
    /// Reads all of `bytes`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, DataError> {
        let mut rest = Reader {
            all: bytes.len(),
            rest: bytes,
        };
        let rp_id_sha256 = *rest.array::<32>()?;
        let [flags] = *rest.array()?;
        let sign_count = u32::from_be_bytes(*rest.array()?);
        let has = |flag: u8| flags & flag != 0;
        let credential = has(AT).then(|| rest.credential()).transpose()?;
        if has(ED) && !rest.cbor("extensions")?.is_map() {
            return Err(DataError::Cbor("extensions"));
        }
        if !rest.rest.is_empty() {
            return Err(DataError::Length(bytes.len()));
        }
        Ok(Self {
            rp_id_sha256,
            user_present: has(UP),
            user_verified: has(UV),
            sign_count,
            credential,
        })
    }
}

struct Reader<'b> {
    all: usize,
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn array<const N: usize>(&mut self) -> Result<&'b [u8; N], DataError> {
        let split = self.rest.split_first_chunk();
        let (head, rest) = split.ok_or(DataError::Length(self.all))?;
        self.rest = rest;
        Ok(head)
    }

    fn bytes(&mut self, count: usize) -> Result<&'b [u8], DataError> {
        let split = self.rest.split_at_checked(count);
        let (head, rest) = split.ok_or(DataError::Length(self.all))?;
        self.rest = rest;
        Ok(head)
    }

    fn cbor(&mut self, what: &'static str) -> Result<Value, DataError> {
        ciborium::de::from_reader_with_recursion_limit(&mut self.rest, DEPTH_MAX)
            .map_err(|_| DataError::Cbor(what))
    }

    /// Section 6.5.1.
    fn credential(&mut self) -> Result<AttestedCredential, DataError> {
        let aaguid = *self.array()?;
        let length = usize::from(u16::from_be_bytes(*self.array()?));
        if length > CREDENTIAL_ID_MAX {
            return Err(DataError::CredentialId(length));
        }
        let id = self.bytes(length)?.to_vec();
        let spki = cose::public_key(&self.cbor("a public key")?)?;
        Ok(AttestedCredential { aaguid, id, spki })
    }
}
