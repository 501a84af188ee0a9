//! Key types of a PIV card, and the schemes they sign with.

use sealwright_driver_api::{KeySpec, Scheme};
use yubikey::Version;
use yubikey::piv::AlgorithmId;

/// What every YubiKey 4 and 5 signs. RSA-PSS would be padded here and not on the card; PKCS#1 v1.5 is enough for whoever
/// needs RSA.
pub(crate) const SCHEMES: [Scheme; 3] = [
    Scheme::EcdsaP256Sha256,
    Scheme::EcdsaP384Sha384,
    Scheme::RsaPkcs1Sha256,
];

/// The scheme of a key; `None` for those that sign nothing we know.
pub(crate) fn scheme_of(algorithm: AlgorithmId) -> Option<Scheme> {
    match algorithm {
        AlgorithmId::EccP256 => Some(Scheme::EcdsaP256Sha256),
        AlgorithmId::EccP384 => Some(Scheme::EcdsaP384Sha384),
        AlgorithmId::Rsa2048 | AlgorithmId::Rsa3072 | AlgorithmId::Rsa4096 => {
            Some(Scheme::RsaPkcs1Sha256)
        }
        AlgorithmId::Rsa1024 | AlgorithmId::Ed25519 | AlgorithmId::X25519 => None,
    }
}

/// The type of a key to be made; `None` where this firmware makes none such.
pub(crate) fn algorithm_for(spec: &KeySpec, firmware: Version) -> Option<AlgorithmId> {
    let has_long_rsa = (firmware.major, firmware.minor) >= (5, 7);
    match (spec.scheme, spec.rsa_bits) {
        (Scheme::EcdsaP256Sha256, _) => Some(AlgorithmId::EccP256),
        (Scheme::EcdsaP384Sha384, _) => Some(AlgorithmId::EccP384),
        (Scheme::RsaPkcs1Sha256, 2048) => Some(AlgorithmId::Rsa2048),
        (Scheme::RsaPkcs1Sha256, 3072) if has_long_rsa => Some(AlgorithmId::Rsa3072),
        (Scheme::RsaPkcs1Sha256, 4096) if has_long_rsa => Some(AlgorithmId::Rsa4096),
        _ => None,
    }
}

/// Bytes of an RSA key's modulus.
pub(crate) fn modulus_len(algorithm: AlgorithmId) -> Option<usize> {
    match algorithm {
        AlgorithmId::Rsa2048 => Some(256),
        AlgorithmId::Rsa3072 => Some(384),
        AlgorithmId::Rsa4096 => Some(512),
        _ => None,
    }
}
