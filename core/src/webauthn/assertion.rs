//! An assertion as a signature: how it is written, and the six steps by which it is verified.

use serde::{Deserialize, Serialize};

use super::authenticator_data::{AuthenticatorData, DataError};
use crate::digest::Sha256Digest;

/// In front of every assertion, the version of its form. What follows is authenticatorData with its length in two bytes,
/// big-endian, then the authenticator's signature: ECDSA in DER.
const MAGIC: [u8; 4] = *b"SWA1";

/// What a FIDO2 key returned. The wire to a driver carries the fields in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// The signature, ECDSA in DER.
    pub signature: Vec<u8>,
    /// authenticatorData as it was signed.
    pub authenticator_data: Vec<u8>,
}

/// What has to be true of whoever was at the authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Somebody touched it.
    Presence,
    /// Somebody touched it, and showed it a PIN or a finger.
    Verification,
}

/// Why an assertion is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Not one of ours.
    #[error("the signature is no assertion of a FIDO2 key in the form SWA1")]
    Form,
    /// Not readable.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It registers a key instead of signing.
    #[error("the authenticator registered a key where it should have signed")]
    Registration,
    /// Made for somebody else.
    #[error("the assertion is for another relying party than {0:?}")]
    RelyingParty(String),
    /// Nobody touched it.
    #[error("nobody touched the authenticator")]
    Presence,
    /// Nobody showed a PIN.
    #[error("nobody showed the authenticator a PIN or a finger, which this key demands")]
    Verification,
}

impl Assertion {
    /// Its bytes in the place of a signature.
    ///
    /// # Errors
    /// [`AssertionError::Form`]: authenticatorData of 64 KiB or more.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AssertionError> {
        let length = u16::try_from(self.authenticator_data.len());
        let length = length.map_err(|_| AssertionError::Form)?.to_be_bytes();
        Ok([
            &MAGIC[..],
            &length,
            &self.authenticator_data,
            &self.signature,
        ]
        .concat())
    }

    /// Reads what [`Assertion::to_bytes`] writes.
    ///
    /// # Errors
    /// [`AssertionError::Form`]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AssertionError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(AssertionError::Form)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(AssertionError::Form)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (data, signature) = rest.split_at_checked(length).ok_or(AssertionError::Form)?;
        Ok(Self {
            authenticator_data: data.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Steps one to three: authenticatorData is whole and signs nothing but a message, it is for `rp_id`, and its flags
    /// say what is demanded. Step six, the counter, is a hint and no more: keys count together, in steps of any size, or
    /// not at all. It comes back and decides nothing.
    ///
    /// # Errors
    /// Which step failed.
    pub fn check(&self, rp_id: &str, demand: Demand) -> Result<u32, AssertionError> {
        let data = AuthenticatorData::parse(&self.authenticator_data)?;
        if data.credential.is_some() {
            return Err(AssertionError::Registration);
        }
        if data.rp_id_sha256 != Sha256Digest::of(&[rp_id.as_bytes()]).0 {
            return Err(AssertionError::RelyingParty(rp_id.to_owned()));
        }
        if !data.user_present {
            return Err(AssertionError::Presence);
        }
        if demand == Demand::Verification && !data.user_verified {
            return Err(AssertionError::Verification);
        }
        Ok(data.sign_count)
    }

    /// Step four: SHA-256 of what the key signed. The message's own digest is always computed here; one that came along
    /// would prove nothing. Step five verifies the signature over it.
    pub fn signed_sha256(&self, message_parts: &[&[u8]]) -> Sha256Digest {
        let digest = Sha256Digest::of(message_parts);
        Sha256Digest::of(&[&self.authenticator_data, &digest.0])
    }
}

#[cfg(test)]
mod tests {
    use super::super::RP_ID;
    use super::*;
    use proptest::prelude::*;

    fn data(flags: u8) -> Vec<u8> {
        let party = Sha256Digest::of(&[RP_ID.as_bytes()]);
        [&party.0[..], &[flags], &7u32.to_be_bytes()].concat()
    }

    fn check(data: Vec<u8>, rp_id: &str, demand: Demand) -> Result<u32, AssertionError> {
        let assertion = Assertion {
            authenticator_data: data,
            signature: Vec::new(),
        };
        assertion.check(rp_id, demand)
    }

    #[test]
    fn what_the_authenticator_says_is_held_against_what_is_demanded() {
        use Demand::{Presence, Verification};
        assert_eq!(check(data(0x01), RP_ID, Presence), Ok(7));
        assert_eq!(check(data(0x05), RP_ID, Verification), Ok(7));
        let untouched = Err(AssertionError::Presence);
        assert_eq!(check(data(0x00), RP_ID, Presence), untouched);
        assert_eq!(check(data(0x04), RP_ID, Verification), untouched);
        let unverified = Err(AssertionError::Verification);
        assert_eq!(check(data(0x01), RP_ID, Verification), unverified);
        let other = Err(AssertionError::RelyingParty("other".to_owned()));
        assert_eq!(check(data(0x01), "other", Presence), other);
    }

    #[test]
    fn its_length_is_what_its_flags_say() {
        for bytes in [
            data(0x01)[..36].to_vec(),
            [data(0x01), vec![0]].concat(),
            data(0x41),
            data(0x81),
            [data(0x81), vec![0x01]].concat(),
        ] {
            let refused = check(bytes.clone(), RP_ID, Demand::Presence);
            let is_data = matches!(refused, Err(AssertionError::Data(_)));
            assert!(is_data, "{bytes:02x?}: {refused:?}");
        }
        // An empty map of extensions.
        let extended = [data(0x81), vec![0xa0]].concat();
        assert_eq!(check(extended, RP_ID, Demand::Presence), Ok(7));
    }

    proptest! {
        #[test]
        fn an_assertion_is_read_as_it_was_written(
            data in proptest::collection::vec(any::<u8>(), 0..300),
            signature in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let assertion = Assertion { authenticator_data: data, signature };
            let bytes = assertion.to_bytes().unwrap();
            prop_assert_eq!(Assertion::from_bytes(&bytes), Ok(assertion));
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Assertion::from_bytes(&bytes);
            let _ = AuthenticatorData::parse(&bytes);
        }
    }
}
