//! The public areas this driver asks the TPM for.

use sealwright_driver_api::Scheme;
use tss_esapi::Result;
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Public, PublicBuilder,
    PublicEccParameters, PublicEccParametersBuilder, PublicKeyRsa, PublicParameters,
    PublicRsaParameters, RsaExponent, RsaScheme, SignatureScheme, SymmetricDefinitionObject,
};

const SHA256: HashScheme = HashScheme::new(HashingAlgorithm::Sha256);
const SHA384: HashScheme = HashScheme::new(HashingAlgorithm::Sha384);

/// The storage root key: the standard ECC P-256 storage template, which a TPM makes into the same key each
/// time until its owner seed is cleared. So the key itself is never stored, only its digest is pinned.
pub(crate) fn storage_root_key() -> Result<Public> {
    let attributes = protected()
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    )
    .build()?;
    ecc(attributes, parameters)
}

/// The attestation key: restricted, so it signs what the TPM itself says and nothing else. A primary key, which the TPM
/// makes into the same one each time until its endorsement seed changes.
pub(crate) fn attestation_key() -> Result<Public> {
    let attributes = protected()
        .with_restricted(true)
        .with_sign_encrypt(true)
        .build()?;
    ecc(
        attributes,
        PublicEccParameters::new(
            SymmetricDefinitionObject::Null,
            EccScheme::EcDsa(SHA256),
            EccCurve::NistP256,
            KeyDerivationFunctionScheme::Null,
        ),
    )
}

/// A signing key for `scheme`; `rsa_bits` counts for RSA only. The scheme is part of the key, so that the TPM
/// itself refuses every other one. Not restricted: a restricted key signs only what the TPM has hashed itself.
pub(crate) fn key(scheme: Scheme, rsa_bits: u16) -> Option<Public> {
    let attributes = protected().with_sign_encrypt(true).build().ok()?;
    match parameters(scheme, rsa_bits)? {
        PublicParameters::Ecc(parameters) => ecc(attributes, parameters).ok(),
        PublicParameters::Rsa(parameters) => rsa(attributes, parameters).ok(),
        _ => None,
    }
}

/// What TPM2_TestParms is asked about; `None` where no TPM has such keys.
pub(crate) fn parameters(scheme: Scheme, rsa_bits: u16) -> Option<PublicParameters> {
    match scheme {
        Scheme::EcdsaP256Sha256 => Some(ecdsa(EccCurve::NistP256, SHA256)),
        Scheme::EcdsaP384Sha384 => Some(ecdsa(EccCurve::NistP384, SHA384)),
        Scheme::RsaPkcs1Sha256 => rsa_signing(RsaScheme::RsaSsa(SHA256), rsa_bits),
        Scheme::RsaPssSha256 => rsa_signing(RsaScheme::RsaPss(SHA256), rsa_bits),
        Scheme::Ed25519 | Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => None,
    }
}

/// The scheme as a parameter of TPM2_Sign; keys without one of their own need it.
pub(crate) fn signature_scheme(scheme: Scheme) -> Option<SignatureScheme> {
    match scheme {
        Scheme::EcdsaP256Sha256 => Some(SignatureScheme::EcDsa {
            hash_scheme: SHA256,
        }),
        Scheme::EcdsaP384Sha384 => Some(SignatureScheme::EcDsa {
            hash_scheme: SHA384,
        }),
        Scheme::RsaPkcs1Sha256 => Some(SignatureScheme::RsaSsa {
            hash_scheme: SHA256,
        }),
        Scheme::RsaPssSha256 => Some(SignatureScheme::RsaPss {
            hash_scheme: SHA256,
        }),
        Scheme::Ed25519 | Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => None,
    }
}

/// Made inside this TPM, never leaves it, used by its auth value, and outside the dictionary-attack
/// protection: that lock is TPM-wide, and a fault of ours must not lock the TPM for everybody else.
fn protected() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
}

fn ecdsa(curve: EccCurve, hash: HashScheme) -> PublicParameters {
    PublicParameters::Ecc(PublicEccParameters::new(
        SymmetricDefinitionObject::Null,
        EccScheme::EcDsa(hash),
        curve,
        KeyDerivationFunctionScheme::Null,
    ))
}

fn rsa_signing(scheme: RsaScheme, bits: u16) -> Option<PublicParameters> {
    let bits = match bits {
        2048 => RsaKeyBits::Rsa2048,
        3072 => RsaKeyBits::Rsa3072,
        4096 => RsaKeyBits::Rsa4096,
        _ => return None,
    };
    Some(PublicParameters::Rsa(PublicRsaParameters::new(
        SymmetricDefinitionObject::Null,
        scheme,
        bits,
        RsaExponent::default(),
    )))
}

fn ecc(attributes: ObjectAttributes, parameters: PublicEccParameters) -> Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

fn rsa(attributes: ObjectAttributes, parameters: PublicRsaParameters) -> Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Rsa)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_rsa_parameters(parameters)
        .with_rsa_unique_identifier(PublicKeyRsa::default())
        .build()
}
