//! Public keys as authenticators write them (RFC 9052 section 7, RFC 9053 section 7.1).

use ciborium::Value;

use crate::spki::Spki;
use crate::verify::spki_of_ec;

/// The key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Not the members of a key.
    #[error("the public key lacks a member of its kind, or has another type in it")]
    Malformed,
    /// Another algorithm.
    #[error("COSE algorithm {0} is none that this program verifies; make an ES256 key")]
    Algorithm(i64),
}

// Labels and values of RFC 9053 that are needed here.
const KTY: i64 = 1;
const EC2: i64 = 2;
const ALG: i64 = 3;
pub(super) const ES256: i64 = -7;
const CRV: i64 = -1;
const P256: i64 = 1;
const X: i64 = -2;
const Y: i64 = -3;

/// An ES256 key.
pub(super) fn public_key(key: &Value) -> Result<Spki, CoseError> {
    let members = Members(key.as_map().ok_or(CoseError::Malformed)?);
    match members.integer(ALG)? {
        ES256 => {}
        other => return Err(CoseError::Algorithm(other)),
    }
    if (members.integer(KTY)?, members.integer(CRV)?) != (EC2, P256) {
        return Err(CoseError::Malformed);
    }
    let spki = spki_of_ec(members.coordinate(X)?, members.coordinate(Y)?);
    spki.map_err(|_| CoseError::Malformed)
}

struct Members<'v>(&'v [(Value, Value)]);

impl<'v> Members<'v> {
    fn get(&self, label: i64) -> Result<&'v Value, CoseError> {
        let mut found = self
            .0
            .iter()
            .filter(|(name, _)| integer(name) == Some(label));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value),
            _ => Err(CoseError::Malformed),
        }
    }

    fn integer(&self, label: i64) -> Result<i64, CoseError> {
        integer(self.get(label)?).ok_or(CoseError::Malformed)
    }

    fn coordinate(&self, label: i64) -> Result<&'v [u8], CoseError> {
        let bytes = self.get(label)?.as_bytes();
        let bytes = bytes.filter(|bytes| bytes.len() == 32);
        Ok(bytes.ok_or(CoseError::Malformed)?)
    }
}

fn integer(value: &Value) -> Option<i64> {
    i64::try_from(value.as_integer()?).ok()
}
