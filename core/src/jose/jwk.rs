//! Reading a public key from a JSON Web Key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::pkcs8::EncodePublicKey as _;
use serde::Deserialize;

use super::compact::presence;
use super::{Thumbprint, scheme_of};
use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::trust::jwk;
use crate::verify::{KeyError, PublicKey, is_roca, spki_of_ec, spki_of_rsa};

/// Why a JSON Web Key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwkError {
    /// Not a JSON object with members of the right types.
    #[error("the key is not acceptable: {0}")]
    Json(#[source] JsonError),
    /// A private part: whoever sent it has given the key away.
    #[error(
        "the key has a private part; it must be taken out of use, and only its public part be sent"
    )]
    Private,
    /// `oct`: whoever can verify can sign.
    #[error("the key is symmetric")]
    Symmetric,
    /// A type or curve that is not known here.
    #[error(
        "keys of type {0} are not known here; there are EC with P-256 and P-384, OKP with Ed25519, and RSA"
    )]
    Unknown(String),
    /// A member that has to be there.
    #[error("the key has no {0}")]
    Missing(&'static str),
    /// Not base64url of the right length: a coordinate has the width of its curve, a number no zero byte in front.
    #[error("the key's {0} is not base64url of exactly the bytes it has")]
    Encoding(&'static str),
    /// No usable public key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// CVE-2017-15361.
    #[error(
        "the key is of a make whose private keys follow from the public ones (CVE-2017-15361); replace it"
    )]
    Roca,
    /// `use` or `key_ops` say that it is for something else, or `alg` that it is for another algorithm.
    #[error("the key's {0} says that it does not verify such signatures")]
    OtherUse(&'static str),
}

/// A JSON Web Key as it was written.
#[derive(Debug, Deserialize)]
pub(crate) struct Members {
    kty: String,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    pub(super) kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    // Private parts are noticed and never kept.
    #[serde(default, deserialize_with = "presence")]
    d: bool,
    #[serde(default, deserialize_with = "presence")]
    p: bool,
    #[serde(default, deserialize_with = "presence")]
    q: bool,
    #[serde(default, deserialize_with = "presence")]
    dp: bool,
    #[serde(default, deserialize_with = "presence")]
    dq: bool,
    #[serde(default, deserialize_with = "presence")]
    qi: bool,
    #[serde(default, deserialize_with = "presence")]
    oth: bool,
    #[serde(default, deserialize_with = "presence")]
    k: bool,
}

/// A public key that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicJwk {
    spki: Spki,
    thumbprint: Thumbprint,
    kid: Option<String>,
    schemes: Vec<Scheme>,
}

impl PublicJwk {
    /// Reads JSON text.
    pub fn parse(text: &[u8]) -> Result<Self, JwkError> {
        let members: Members = json::from_slice(text).map_err(JwkError::Json)?;
        Self::of(&members)
    }

    /// A key that is at hand in another form.
    pub fn of_spki(spki: Spki) -> Result<Self, KeyError> {
        let key = PublicKey::from_spki_der(spki.der())?;
        Ok(Self {
            thumbprint: Thumbprint(thumbprint(&key)?),
            kid: None,
            schemes: key.schemes().to_vec(),
            spki,
        })
    }

    pub(crate) fn of(members: &Members) -> Result<Self, JwkError> {
        members.check_public()?;
        let mut key = Self::of_spki(members.spki()?)?;
        members.check_use()?;
        if let Some(alg) = &members.alg {
            let scheme = scheme_of(alg).map_err(|_| JwkError::OtherUse("alg"))?;
            key.schemes.retain(|fits| *fits == scheme);
            if key.schemes.is_empty() {
                return Err(JwkError::OtherUse("alg"));
            }
        }
        key.kid.clone_from(&members.kid);
        Ok(key)
    }

    /// The key.
    pub fn spki(&self) -> &Spki {
        &self.spki
    }

    /// Its thumbprint (RFC 7638): `cnf.jkt` of tokens bound to it.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// What its issuer calls it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether it verifies signatures of `scheme`.
    pub fn fits(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }
}

fn thumbprint(key: &PublicKey) -> Result<Sha256Digest, KeyError> {
    jwk::thumbprint(key).map_err(|_| KeyError::Malformed)
}

impl Members {
    fn check_public(&self) -> Result<(), JwkError> {
        if self.kty == "oct" || self.k {
            return Err(JwkError::Symmetric);
        }
        let private = [self.d, self.p, self.q, self.dp, self.dq, self.qi, self.oth];
        match private.contains(&true) {
            true => Err(JwkError::Private),
            false => Ok(()),
        }
    }

    fn check_use(&self) -> Result<(), JwkError> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(JwkError::OtherUse("use"));
        }
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        if self.key_ops.as_ref().is_some_and(|ops| !verifies(ops)) {
            return Err(JwkError::OtherUse("key_ops"));
        }
        Ok(())
    }

    fn spki(&self) -> Result<Spki, JwkError> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => self.ec(32),
            ("EC", Some("P-384")) => self.ec(48),
            ("OKP", Some("Ed25519")) => self.ed25519(),
            ("RSA", _) => self.rsa(),
            ("EC" | "OKP", None) => Err(JwkError::Missing("crv")),
            (kty, crv) => Err(JwkError::Unknown(shown(kty, crv))),
        }
    }

    fn ed25519(&self) -> Result<Spki, JwkError> {
        let malformed = JwkError::Key(KeyError::Malformed);
        let x: [u8; 32] = bytes("x", self.x.as_deref())?
            .try_into()
            .map_err(|_| JwkError::Encoding("x"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&x).ok();
        let der = key.and_then(|key| key.to_public_key_der().ok());
        Ok(Spki::from_der(der.ok_or(malformed)?.into_vec()))
    }

    /// RFC 7518 section 6.2.1.2: coordinates have the curve's full width.
    fn ec(&self, width: usize) -> Result<Spki, JwkError> {
        let coordinate = |name, text| {
            let bytes = bytes(name, text)?;
            match bytes.len() == width {
                true => Ok(bytes),
                false => Err(JwkError::Encoding(name)),
            }
        };
        let x = coordinate("x", self.x.as_deref())?;
        let y = coordinate("y", self.y.as_deref())?;
        Ok(spki_of_ec(&x, &y)?)
    }

    fn rsa(&self) -> Result<Spki, JwkError> {
        let number = |name, text| {
            let bytes = bytes(name, text)?;
            match bytes.first() {
                None | Some(0) => Err(JwkError::Encoding(name)),
                Some(_) => Ok(rsa::BoxedUint::from_be_slice_vartime(&bytes)),
            }
        };
        let n = number("n", self.n.as_deref())?;
        if is_roca(&n) {
            return Err(JwkError::Roca);
        }
        let e = number("e", self.e.as_deref())?;
        Ok(spki_of_rsa(n, e)?)
    }
}

fn bytes(name: &'static str, text: Option<&str>) -> Result<Vec<u8>, JwkError> {
    let text = text.ok_or(JwkError::Missing(name))?;
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_| JwkError::Encoding(name))
}

fn shown(kty: &str, crv: Option<&str>) -> String {
    let short = |text: &str| text.chars().take(32).collect::<String>();
    match crv {
        None => format!("{:?}", short(kty)),
        Some(crv) => format!("{:?} with {:?}", short(kty), short(crv)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// RFC 7517 appendix A.1.
    fn p256() -> Value {
        json!({"kty": "EC", "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    }

    fn with(name: &str, value: impl Into<Value>) -> Value {
        let mut jwk = p256();
        jwk[name] = value.into();
        jwk
    }

    fn read(jwk: &Value) -> Result<PublicJwk, JwkError> {
        PublicJwk::parse(&serde_json::to_vec(jwk).unwrap())
    }

    #[test]
    fn a_key_has_its_thumbprint_whatever_else_is_said_of_it() {
        let key = read(&p256()).unwrap();
        assert_eq!(
            key.thumbprint().to_string(),
            "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
        );
        let named = read(
            &json!({"kid": "a", "use": "sig", "alg": "ES256", "key_ops": ["verify"],
            "ext": true, "kty": "EC", "crv": "P-256", "x": p256()["x"], "y": p256()["y"]}),
        );
        let named = named.unwrap();
        assert_eq!(
            (named.kid(), named.thumbprint()),
            (Some("a"), key.thumbprint())
        );
        assert!(named.fits(Scheme::EcdsaP256Sha256) && !named.fits(Scheme::EcdsaP384Sha384));
    }

    #[test]
    fn private_and_symmetric_keys_are_refused_whatever_their_type() {
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            for value in [json!("AQ"), Value::Null] {
                assert!(
                    matches!(read(&with(name, value)), Err(JwkError::Private)),
                    "{name}"
                );
            }
        }
        assert!(matches!(read(&with("k", "AQ")), Err(JwkError::Symmetric)));
        assert!(matches!(
            read(&json!({"kty": "oct"})),
            Err(JwkError::Symmetric)
        ));
    }

    #[test]
    fn each_fault_of_a_key_has_its_own_error() {
        let short = p256()["x"].as_str().unwrap()[2..].to_owned();
        let padded = format!("{}=", p256()["x"].as_str().unwrap());
        for x in [short, padded, String::new()] {
            assert!(matches!(read(&with("x", x)), Err(JwkError::Encoding("x"))));
        }
        let off_curve = with("y", p256()["x"].clone());
        assert!(matches!(
            read(&off_curve),
            Err(JwkError::Key(KeyError::Malformed))
        ));
        for (kty, crv) in [
            ("EC", "P-521"),
            ("OKP", "X25519"),
            ("AKP", "P-256"),
            ("EC", "P-256 "),
        ] {
            let mut jwk = with("kty", kty);
            jwk["crv"] = crv.into();
            assert!(
                matches!(read(&jwk), Err(JwkError::Unknown(_))),
                "{kty} {crv}"
            );
        }
        let missing = json!({"kty": "EC", "crv": "P-256", "x": p256()["x"]});
        assert!(matches!(read(&missing), Err(JwkError::Missing("y"))));
        assert!(matches!(
            read(&json!({"kty": "EC"})),
            Err(JwkError::Missing("crv"))
        ));
        for jwk in [json!([]), json!({}), json!({"kty": 1})] {
            assert!(matches!(read(&jwk), Err(JwkError::Json(_))), "{jwk}");
        }
        let weak = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([0; 32])});
        assert!(matches!(read(&weak), Err(JwkError::Key(_))));
        let small = URL_SAFE_NO_PAD.encode([0xff; 128]);
        let small = json!({"kty": "RSA", "n": small, "e": "AQAB"});
        assert!(matches!(
            read(&small),
            Err(JwkError::Key(KeyError::RsaSize(1024)))
        ));
        let zero = json!({"kty": "RSA", "n": "AAEB", "e": "AQAB"});
        assert!(matches!(read(&zero), Err(JwkError::Encoding("n"))));
    }

    #[test]
    fn a_key_for_something_else_verifies_nothing() {
        let cases = [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("key_ops", json!([])),
            ("alg", json!("ES384")),
            ("alg", json!("ECDH-ES")),
        ];
        for (name, value) in cases {
            let error = read(&with(name, value)).unwrap_err();
            assert!(
                matches!(error, JwkError::OtherUse(what) if what == name),
                "{error}"
            );
        }
    }
}
