//! An issuer's keys: a JSON Web Key Set (RFC 7517 section 5).

use serde::Deserialize;

use super::jwk::Members;
use super::{Compact, JoseError, JwkError, PublicJwk};
use crate::json::{self, JsonError};
use crate::scheme::Scheme;

/// Largest set in bytes.
pub const SET_MAX: usize = 64 << 10;
/// Most keys in a set.
pub const KEYS_MAX: usize = 64;

/// The keys that an issuer signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwkSet(Vec<PublicJwk>);

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwkSetError {
    /// Too large.
    #[error("the key set has more than {SET_MAX} bytes or {KEYS_MAX} keys")]
    TooLarge,
    /// Not a JSON object with an array `keys`.
    #[error("the key set is not acceptable: {0}")]
    Json(#[source] JsonError),
    /// One of the keys must not be there, or is broken.
    #[error("key {number} of the set: {source}")]
    Key {
        /// Its place in the array, from 1.
        number: usize,
        /// What is wrong.
        source: JwkError,
    },
    /// Two keys with one name.
    #[error("two keys of the set have the kid {0:?}")]
    RepeatedKid(String),
    /// None that verifies anything.
    #[error("the key set has no key that verifies signatures of a known algorithm")]
    Empty,
}

#[derive(Deserialize)]
struct Written {
    keys: Vec<Members>,
}

impl JwkSet {
    /// Reads JSON text. Keys of unknown types and for other uses are left out (RFC 7517 section 5); a private or broken
    /// one is a mistake that somebody has to know of.
    pub fn parse(text: &[u8]) -> Result<Self, JwkSetError> {
        if text.len() > SET_MAX {
            return Err(JwkSetError::TooLarge);
        }
        let written: Written = json::from_slice(text).map_err(JwkSetError::Json)?;
        if written.keys.len() > KEYS_MAX {
            return Err(JwkSetError::TooLarge);
        }
        let mut keys = Vec::<PublicJwk>::new();
        for (index, members) in written.keys.iter().enumerate() {
            let key = match PublicJwk::of(members) {
                Ok(key) => key,
                Err(JwkError::Unknown(_) | JwkError::OtherUse(_)) => continue,
                Err(source) => {
                    let number = index + 1;
                    return Err(JwkSetError::Key { number, source });
                }
            };
            if let Some(kid) = key.kid()
                && keys.iter().any(|other| other.kid() == Some(kid))
            {
                return Err(JwkSetError::RepeatedKid(kid.to_owned()));
            }
            keys.push(key);
        }
        match keys.is_empty() {
            true => Err(JwkSetError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// The key that `compact` names, or, where it names none, the only one that fits.
    ///
    /// # Errors
    /// [`JoseError::UnknownKey`], [`JoseError::NoKeyNamed`].
    pub fn find(&self, compact: &Compact<'_>, scheme: Scheme) -> Result<&PublicJwk, JoseError> {
        if let Some(kid) = compact.kid() {
            let found = self.0.iter().find(|key| key.kid() == Some(kid));
            return found.ok_or(JoseError::UnknownKey);
        }
        let mut fitting = self.0.iter().filter(|key| key.fits(scheme));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(JoseError::NoKeyNamed),
        }
    }

    /// How many keys it has.
    #[expect(clippy::len_without_is_empty, reason = "no set is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const A: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const B: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn p256(kid: Option<&str>) -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": A, "y": B, "kid": kid})
    }

    fn ed25519(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": kid})
    }

    fn set(keys: Value) -> Result<JwkSet, JwkSetError> {
        JwkSet::parse(&serde_json::to_vec(&json!({ "keys": keys })).unwrap())
    }

    #[test]
    fn keys_that_are_not_understood_are_left_out_and_private_ones_refuse_the_set() {
        let enc = json!({"kty": "EC", "crv": "P-256", "x": A, "y": B, "use": "enc"});
        let keys = json!([{"kty": "AKP"}, {"kty": "EC", "crv": "P-521"}, enc, p256(Some("a"))]);
        assert_eq!(set(keys).unwrap().len(), 1);
        let mut private = p256(None);
        private["d"] = A.into();
        let error = set(json!([p256(None), private])).unwrap_err();
        let source_is_private = matches!(
            error,
            JwkSetError::Key {
                number: 2,
                source: JwkError::Private
            }
        );
        assert!(source_is_private, "{error}");
        assert!(matches!(
            set(json!([{"kty": "oct"}])),
            Err(JwkSetError::Key { .. })
        ));
    }

    #[test]
    fn a_set_without_use_is_refused() {
        assert!(matches!(set(json!([])), Err(JwkSetError::Empty)));
        assert!(matches!(set(json!({})), Err(JwkSetError::Json(_))));
        let many = vec![p256(None); KEYS_MAX + 1];
        assert!(matches!(set(json!(many)), Err(JwkSetError::TooLarge)));
        assert!(matches!(
            JwkSet::parse(&vec![b' '; SET_MAX + 1]),
            Err(JwkSetError::TooLarge)
        ));
        let twice = set(json!([p256(Some("a")), ed25519("a")]));
        assert!(matches!(twice, Err(JwkSetError::RepeatedKid(kid)) if kid == "a"));
    }

    #[test]
    fn a_token_names_its_key_or_only_one_fits() {
        let header = |text: &str| {
            use base64::Engine as _;
            let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
            format!("{header}.e30.AA")
        };
        let find = |set: &JwkSet, text: &str| {
            let text = header(text);
            let compact = Compact::parse(&text, 999).unwrap();
            let found = set.find(&compact, Scheme::EcdsaP256Sha256);
            found.map(|key| key.kid().map(str::to_owned))
        };
        let (named, unnamed) = (r#"{"alg":"ES256","kid":"a"}"#, r#"{"alg":"ES256"}"#);
        let two = set(json!([ed25519("e"), p256(Some("a"))])).unwrap();
        assert_eq!(find(&two, named).unwrap().as_deref(), Some("a"));
        assert_eq!(find(&two, unnamed).unwrap().as_deref(), Some("a"));
        let other = set(json!([p256(Some("b")), p256(Some("c"))])).unwrap();
        assert!(matches!(find(&other, named), Err(JoseError::UnknownKey)));
        assert!(matches!(find(&other, unnamed), Err(JoseError::NoKeyNamed)));
    }
}
