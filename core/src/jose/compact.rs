//! The compact form of a JSON Web Signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};

use super::jwk::Members;
use super::{JoseError, PublicJwk, scheme_of};
use crate::json;
use crate::scheme::Scheme;
use crate::sign::{SignInput, Verifier};

/// `header.payload.signature`, read and not yet verified.
#[derive(Debug)]
pub struct Compact<'a> {
    signed: &'a str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The members that have a meaning here; others are ignored (RFC 7515 section 4).
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    jwk: Option<Members>,
    #[serde(default, deserialize_with = "presence")]
    crit: bool,
}

/// Whether a member is there, `null` included.
pub(super) fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Compact<'a> {
    /// Reads at most `max` characters.
    ///
    /// # Errors
    /// Any [`JoseError`] that shows without a key.
    pub fn parse(text: &'a str, max: usize) -> Result<Self, JoseError> {
        if text.len() > max {
            return Err(JoseError::TooLong(max));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JoseError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JoseError::NotCompact)?;
        if header.is_empty() || payload.contains('.') || signature.is_empty() {
            return Err(JoseError::NotCompact);
        }
        let header: Header = read("header", &decode("header", header)?)?;
        if header.crit {
            return Err(JoseError::Critical);
        }
        Ok(Self {
            signed,
            header,
            payload: decode("payload", payload)?,
            signature: decode("signature", signature)?,
        })
    }

    /// Requires the media type `want`, with or without `application/` before it (RFC 7515 section 4.1.9).
    ///
    /// # Errors
    /// [`JoseError::Type`].
    pub fn require_type(&self, want: &'static str) -> Result<(), JoseError> {
        let got = self.header.typ.as_deref().unwrap_or_default();
        let short = match got.split_at_checked("application/".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
            _ => got,
        };
        if short.eq_ignore_ascii_case(want) {
            return Ok(());
        }
        let got = got.chars().take(64).collect();
        Err(JoseError::Type { got, want })
    }

    /// Which of the issuer's keys is meant.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The key in the header, as far as it was read.
    pub(crate) fn jwk(&self) -> Option<&Members> {
        self.header.jwk.as_ref()
    }

    /// The scheme of `alg`, if it is one of `allowed`.
    ///
    /// # Errors
    /// [`JoseError::Algorithm`].
    pub fn scheme(&self, allowed: &[Scheme]) -> Result<Scheme, JoseError> {
        let scheme = scheme_of(&self.header.alg).map_err(|e| JoseError::Algorithm(e.0))?;
        match allowed.contains(&scheme) {
            true => Ok(scheme),
            false => Err(JoseError::Algorithm(self.header.alg.clone())),
        }
    }

    /// Whether `key` signed this under `scheme`.
    ///
    /// # Errors
    /// [`JoseError::OtherAlgorithm`], [`JoseError::Signature`].
    pub fn verify(
        &self,
        scheme: Scheme,
        key: &PublicJwk,
        verifier: &dyn Verifier,
    ) -> Result<(), JoseError> {
        if !key.fits(scheme) {
            return Err(JoseError::OtherAlgorithm);
        }
        let length = scheme.raw_signature_len();
        let input = SignInput::of(scheme, &[self.signed.as_bytes()]);
        let is_good = length.is_none_or(|length| length == self.signature.len())
            && verifier.verifies(key.spki().der(), scheme, &input, &self.signature);
        is_good.then_some(()).ok_or(JoseError::Signature)
    }

    /// The payload as a JSON object. Nobody has to believe it before [`Self::verify`].
    ///
    /// # Errors
    /// [`JoseError::Json`].
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, JoseError> {
        read("payload", &self.payload)
    }
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, JoseError> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_| JoseError::Base64(part))
}

fn read<T: DeserializeOwned>(part: &'static str, bytes: &[u8]) -> Result<T, JoseError> {
    json::from_slice(bytes).map_err(|source| JoseError::Json { part, source })
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;

    use super::*;
    use crate::spki::Spki;
    use crate::verify::RustCrypto;

    const ES256: &[Scheme] = &[Scheme::EcdsaP256Sha256];

    fn key() -> (SigningKey, PublicJwk) {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let der = key.verifying_key().to_public_key_der().unwrap().into_vec();
        (key, PublicJwk::of_spki(Spki::from_der(der)).unwrap())
    }

    fn signed(header: &str, payload: &str) -> String {
        let parts = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        let text = parts.join(".");
        let signature: p256::ecdsa::Signature = key().0.sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn verified(text: &str) -> Result<(), JoseError> {
        let compact = Compact::parse(text, 4096)?;
        compact.verify(compact.scheme(ES256)?, &key().1, &RustCrypto)
    }

    #[test]
    fn what_the_key_signed_verifies_and_a_changed_part_does_not() {
        let good = signed(r#"{"alg":"ES256"}"#, "{}");
        verified(&good).unwrap();
        let (rest, signature) = good.rsplit_once('.').unwrap();
        let other = signed(r#"{"alg":"ES256"}"#, "{ }");
        let swapped = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
        assert!(matches!(verified(&swapped), Err(JoseError::Signature)));
        let short = format!("{rest}.{}", &signature[..84]);
        assert!(matches!(verified(&short), Err(JoseError::Signature)));
    }

    #[test]
    fn each_fault_of_the_form_has_its_own_error() {
        let good = signed(r#"{"alg":"ES256"}"#, "{}");
        let two = good.rsplit_once('.').unwrap().0.to_owned();
        for text in [
            "",
            ".",
            "..",
            "a.b",
            &two,
            &format!("{good}.x"),
            &format!("{two}."),
        ] {
            let error = verified(text).unwrap_err();
            assert!(matches!(error, JoseError::NotCompact), "{text}: {error}");
        }
        for text in [
            format!("{good}="),
            good.replacen('e', "+", 1),
            format!("{two}.A"),
        ] {
            let error = verified(&text).unwrap_err();
            assert!(matches!(error, JoseError::Base64(_)), "{text}: {error}");
        }
        assert!(matches!(
            Compact::parse(&good, good.len() - 1),
            Err(JoseError::TooLong(_))
        ));
        for header in [
            "[]",
            "{}",
            r#"{"alg":1}"#,
            r#"{"alg":"ES256","alg":"ES256"}"#,
            "{",
        ] {
            let error = verified(&signed(header, "{}")).unwrap_err();
            assert!(
                matches!(error, JoseError::Json { part: "header", .. }),
                "{header}"
            );
        }
    }

    #[test]
    fn an_algorithm_that_is_not_listed_and_an_extension_that_must_be_understood_are_refused() {
        for alg in ["none", "HS256", "ES384", "RS256", "EdDSA", "es256"] {
            let text = signed(&format!(r#"{{"alg":"{alg}"}}"#), "{}");
            assert!(
                matches!(verified(&text), Err(JoseError::Algorithm(name)) if name == alg),
                "{alg}"
            );
        }
        for crit in ["[]", r#"["b64"]"#, "null"] {
            let text = signed(&format!(r#"{{"alg":"ES256","crit":{crit}}}"#), "{}");
            assert!(
                matches!(verified(&text), Err(JoseError::Critical)),
                "{crit}"
            );
        }
        let ed25519 = Compact::parse("eyJhbGciOiJFZERTQSJ9.e30.AA", 99).unwrap();
        let error = ed25519.verify(Scheme::Ed25519, &key().1, &RustCrypto);
        assert!(matches!(error, Err(JoseError::OtherAlgorithm)));
    }

    #[test]
    fn a_type_may_have_its_prefix_and_no_other_spelling() {
        let of = |typ: &str| signed(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), "{}");
        let check = |text: &str| Compact::parse(text, 4096).unwrap().require_type("at+jwt");
        for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
            check(&of(typ)).unwrap();
        }
        for typ in ["jwt", "", "dpop+jwt", "text/at+jwt", "at+jwt "] {
            assert!(
                matches!(check(&of(typ)), Err(JoseError::Type { .. })),
                "{typ}"
            );
        }
        let none = signed(r#"{"alg":"ES256"}"#, "{}");
        assert!(matches!(check(&none), Err(JoseError::Type { .. })));
    }
}
