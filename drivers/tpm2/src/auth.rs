//! The token's credential, and the auth value of each key that follows from it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sealwright_driver_api::DriverError;
use sealwright_driver_host::ObjectName;
use sha2::Sha256;
use tss_esapi::structures::Auth;
use zeroize::Zeroizing;

/// Fewest bytes of a credential. Our keys are outside the TPM's dictionary-attack protection, so a guess
/// costs nothing but time: the credential has to be random, not a PIN.
const CREDENTIAL_MIN: usize = 16;
/// What the derivation is for; another use of the credential would take another text.
const CONTEXT: &[u8] = b"sealwright tpm2 key auth v1";

/// The token's credential. Never printed; wiped when dropped.
pub(crate) struct Credential(Zeroizing<Vec<u8>>);

impl Credential {
    /// Takes the credential as it was configured.
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DriverError> {
        if bytes.len() < CREDENTIAL_MIN {
            return Err(DriverError::config(format!(
                "the token's credential has {} bytes; a TPM token needs at least {CREDENTIAL_MIN} random ones, \
                 because nothing slows down guessing: make it with `openssl rand -hex 32`",
                bytes.len()
            )));
        }
        Ok(Self(bytes))
    }

    /// `HMAC-SHA-256(credential, "sealwright tpm2 key auth v1" ‖ object name)`, 32 bytes: each key has its own,
    /// so that one key's value opens no other.
    pub(crate) fn key_auth(&self, object: &ObjectName) -> Result<Auth, DriverError> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|e| {
            DriverError::config(format!("the token's credential fits no HMAC: {e}"))
        })?;
        let tag = mac
            .chain_update(CONTEXT)
            .chain_update(object.as_str())
            .finalize();
        let tag = Zeroizing::new(tag.into_bytes());
        Auth::try_from(tag.as_slice())
            .map_err(|e| DriverError::config(format!("the key's auth value fits no TPM: {e}")))
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(text: &str) -> Credential {
        Credential::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn the_derivation_is_the_documented_one() {
        // printf 'sealwright tpm2 key auth v1release' | openssl dgst -sha256 -hmac 0123456789abcdef
        let auth = credential("0123456789abcdef").key_auth(&ObjectName::new("release").unwrap());
        assert_eq!(
            hex::encode(auth.unwrap().value()),
            "d63c171c81f8b0aa5daea3cbc81ae3f1fb94be1a81d6ad849902755f208ad079"
        );
    }

    #[test]
    fn a_credential_short_enough_to_guess_is_refused() {
        let refused = Credential::new(Zeroizing::new(b"123456".to_vec())).unwrap_err();
        assert!(refused.detail.contains("openssl rand"));
    }

    #[test]
    fn the_credential_is_never_printed() {
        assert_eq!(
            format!("{:?}", credential("0123456789abcdef")),
            "Credential(..)"
        );
    }
}
