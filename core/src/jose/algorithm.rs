//! Names of signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864).

use crate::scheme::Scheme;

/// No algorithm that is known here: also `none` and the symmetric ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no signature algorithm is called {0:?}; known: ES256, ES384, RS256, PS256, EdDSA")]
pub struct UnknownAlgorithm(pub String);

/// The scheme with this `alg`. `Ed25519` is RFC 9864's name for what `EdDSA` is with such a key.
pub fn scheme_of(name: &str) -> Result<Scheme, UnknownAlgorithm> {
    match name {
        "ES256" => Ok(Scheme::EcdsaP256Sha256),
        "ES384" => Ok(Scheme::EcdsaP384Sha384),
        "RS256" => Ok(Scheme::RsaPkcs1Sha256),
        "PS256" => Ok(Scheme::RsaPssSha256),
        "EdDSA" | "Ed25519" => Ok(Scheme::Ed25519),
        other => Err(UnknownAlgorithm(other.chars().take(32).collect())),
    }
}

/// The `alg` of a scheme.
pub const fn name_of(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::EcdsaP256Sha256 => "ES256",
        Scheme::EcdsaP384Sha384 => "ES384",
        Scheme::RsaPkcs1Sha256 => "RS256",
        Scheme::RsaPssSha256 => "PS256",
        Scheme::Ed25519 => "EdDSA",
        // No algorithm of JOSE: a name of our own keeps a reader of JWS from taking it for ES256.
        Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => scheme.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plain_scheme_has_a_name_and_no_other_name_has_a_scheme() {
        for scheme in Scheme::PLAIN {
            assert_eq!(scheme_of(name_of(scheme)), Ok(scheme));
        }
        let assertion = Scheme::WebAuthnP256Sha256.as_str();
        for name in [
            assertion, "none", "None", "HS256", "es256", "ES512", "RS1", "",
        ] {
            assert_eq!(scheme_of(name), Err(UnknownAlgorithm(name.to_owned())));
        }
    }
}
