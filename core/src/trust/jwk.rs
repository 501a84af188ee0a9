//! Public keys as JSON Web Keys (RFC 7517), each under its thumbprint (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::traits::PublicKeyParts as _;
use serde::Serialize;

use crate::digest::Sha256Digest;
use crate::jose;
use crate::json::JsonError;
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::verify::{KeyError, PublicKey};

/// A set of keys (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// A public signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    #[serde(flatten)]
    key: Material,
    /// The thumbprint: base64url of SHA-256.
    pub kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}

/// Members in the order of their names: written without spaces they are what the thumbprint hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Material {
    /// RFC 7518 section 6.2: coordinates at the curve's full width.
    Ec {
        crv: &'static str,
        kty: &'static str,
        x: String,
        y: String,
    },
    /// RFC 8037 section 2.
    Okp {
        crv: &'static str,
        kty: &'static str,
        x: String,
    },
    /// RFC 7518 section 6.3: without leading zero bytes.
    Rsa {
        e: String,
        kty: &'static str,
        n: String,
    },
}

/// Why a key has no JSON Web Key.
#[derive(Debug, thiserror::Error)]
pub enum JwkError {
    /// The public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not written.
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl Jwk {
    /// The key that verifies signatures of `scheme`.
    ///
    /// # Errors
    /// [`JwkError::Key`]: the bytes are no usable public key.
    pub fn new(spki: &Spki, scheme: Scheme) -> Result<Self, JwkError> {
        let key = Material::of(&PublicKey::from_spki_der(spki.der())?)?;
        Ok(Self {
            kid: base64url(&key.thumbprint()?.0),
            key,
            alg: jose::name_of(scheme),
            usage: "sig",
        })
    }
}

/// The thumbprint of a key (RFC 7638).
///
/// # Errors
/// Those of [`Jwk::new`].
pub(crate) fn thumbprint(key: &PublicKey) -> Result<Sha256Digest, JwkError> {
    Material::of(key)?.thumbprint()
}

impl Material {
    fn thumbprint(&self) -> Result<Sha256Digest, JwkError> {
        let canonical = serde_json::to_vec(self).map_err(JsonError::Form)?;
        Ok(Sha256Digest::of(&[&canonical]))
    }

    pub(crate) fn of(key: &PublicKey) -> Result<Self, KeyError> {
        match key {
            PublicKey::P256(key) => ec("P-256", key.to_sec1_point(false).as_bytes()),
            PublicKey::P384(key) => ec("P-384", key.to_sec1_point(false).as_bytes()),
            PublicKey::Ed25519(key) => Ok(Self::Okp {
                crv: "Ed25519",
                kty: "OKP",
                x: base64url(key.as_bytes()),
            }),
            PublicKey::Rsa(key) => Ok(Self::Rsa {
                e: base64url(&key.e_bytes()),
                kty: "RSA",
                n: base64url(&key.n_bytes()),
            }),
        }
    }
}

/// An uncompressed point (SEC 1 section 2.3.3): 4, then both coordinates at full width.
fn ec(crv: &'static str, point: &[u8]) -> Result<Material, KeyError> {
    let coordinates = point.get(1..).ok_or(KeyError::Malformed)?;
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Ok(Material::Ec {
        crv,
        kty: "EC",
        x: base64url(x),
        y: base64url(y),
    })
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use p256::pkcs8::EncodePublicKey as _;
    use serde_json::{Value, json};

    use super::*;

    fn jwk(der: &[u8], scheme: Scheme) -> Value {
        let jwk = Jwk::new(&Spki::from_der(der.to_vec()), scheme).unwrap();
        serde_json::to_value(&jwk).unwrap()
    }

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn an_rsa_key_has_the_thumbprint_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKR\
                 XjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJ\
                 ZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqb\
                 w0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let modulus = rsa::BoxedUint::from_be_slice_vartime(&bytes(n));
        let key = rsa::RsaPublicKey::new(modulus, rsa::BoxedUint::from(65537u32)).unwrap();
        let der = key.to_public_key_der().unwrap();
        let expected = json!({
            "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "use": "sig",
            "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        });
        assert_eq!(jwk(der.as_bytes(), Scheme::RsaPkcs1Sha256), expected);
        assert_eq!(jwk(der.as_bytes(), Scheme::RsaPssSha256)["alg"], "PS256");
    }

    #[test]
    fn an_ed25519_key_has_the_thumbprint_of_rfc_8037_appendix_a_3() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let der = [
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(),
            &bytes(x),
        ]
        .concat();
        let expected = json!({
            "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig",
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        });
        assert_eq!(jwk(&der, Scheme::Ed25519), expected);
    }

    #[test]
    fn the_p256_key_of_rfc_7517_appendix_a_1_keeps_its_coordinates() {
        let (x, y) = (
            "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        );
        let point = [&[4][..], &bytes(x), &bytes(y)].concat();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).unwrap();
        let found = jwk(
            key.to_public_key_der().unwrap().as_bytes(),
            Scheme::EcdsaP256Sha256,
        );
        assert_eq!(
            [
                &found["kty"],
                &found["crv"],
                &found["x"],
                &found["y"],
                &found["alg"]
            ],
            ["EC", "P-256", x, y, "ES256"]
        );
    }

    #[test]
    fn coordinates_keep_the_width_of_the_curve() {
        let key = p384::ecdsa::SigningKey::from_slice(&[1; 48]).unwrap();
        let der = key.verifying_key().to_public_key_der().unwrap();
        let found = jwk(der.as_bytes(), Scheme::EcdsaP384Sha384);
        assert_eq!([&found["crv"], &found["alg"]], ["P-384", "ES384"]);
        assert_eq!(found["x"].as_str().unwrap().len(), 64);
        assert_eq!(found["y"].as_str().unwrap().len(), 64);
        assert!(Jwk::new(&Spki::from_der(vec![1]), Scheme::Ed25519).is_err());
    }
}
