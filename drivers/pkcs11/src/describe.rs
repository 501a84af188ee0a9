//! What the token says of a key: public key, address, claims.

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use der::{Decode, Encode};
use sealwright_driver_api::{
    Claims, DriverError, EvidenceGrade, Exclusive, KeyDescription, KeyUri, Scheme,
};
use x509_cert::Certificate;

use crate::address::{Address, full_uri};
use crate::fault::Fault;
use crate::find::{Key, attribute, find, search};
use crate::kind::KeyKind;
use crate::pool::Lease;
use crate::spki;

/// Describes the one key at an address, with those of `schemes` (the token's) that it can sign with.
pub(crate) fn describe(
    lease: &Lease<'_>,
    uri: &KeyUri,
    address: &Address,
    schemes: &[Scheme],
) -> Result<KeyDescription, Fault> {
    let key = find(lease, uri, address)?;
    let session = &lease.seat.session;
    let label = attribute!(session, key.handle, Label)?;
    let id = attribute!(session, key.handle, Id)?.filter(|id| !id.is_empty());
    let spki_der = spki_of(session, uri, &key, id.as_deref())?;
    let claims = read_claims(session, key.handle)?;
    let connector = lease.connector();
    let full = full_uri(&connector.label, &connector.serial, &Address { label, id });
    Ok(KeyDescription {
        uri: full.unwrap_or_else(|| uri.clone()),
        spki_der,
        schemes: key
            .kind
            .schemes()
            .iter()
            .copied()
            .filter(|s| schemes.contains(s))
            .collect(),
        evidence: grade(&claims),
        claims: for_people(&claims),
    })
}

/// SPKI of the private key at `uri`, or an error that says why there is none.
pub(crate) fn spki_of(
    session: &Session,
    uri: &KeyUri,
    key: &Key,
    id: Option<&[u8]>,
) -> Result<Vec<u8>, Fault> {
    public_key(session, key, id)?.map_err(|why| {
        let detail = format!("key {uri}: {why}");
        Fault::hopeless(DriverError::unsupported(detail))
    })
}

/// SPKI of a private key; the inner error says why there is none. Looked for in the public object with the
/// same CKA_ID, in the private object (RSA has its modulus there), in a certificate with the same CKA_ID.
fn public_key(
    session: &Session,
    key: &Key,
    id: Option<&[u8]>,
) -> Result<Result<Vec<u8>, String>, Fault> {
    let public = match with_id(session, ObjectClass::PUBLIC_KEY, id)?.as_slice() {
        [] => None,
        [one] => Some(*one),
        more => {
            return Ok(Err(format!(
                "{} public keys have its CKA_ID; delete the wrong ones",
                more.len()
            )));
        }
    };
    for object in public.into_iter().chain([key.handle]) {
        if let Some(spki) = from_key_object(session, key.kind, object)? {
            return Ok(spki);
        }
    }
    match with_id(session, ObjectClass::CERTIFICATE, id)?.as_slice() {
        [certificate] => Ok(from_certificate(attribute!(session, *certificate, Value)?)),
        _ => Ok(Err(
            "no public key and not exactly one certificate has its CKA_ID; import one".to_owned(),
        )),
    }
}

fn with_id(
    session: &Session,
    class: ObjectClass,
    id: Option<&[u8]>,
) -> Result<Vec<ObjectHandle>, Fault> {
    let Some(id) = id else { return Ok(Vec::new()) };
    search(
        session,
        &[
            Attribute::Class(class),
            Attribute::Token(true),
            Attribute::Id(id.to_vec()),
        ],
    )
}

fn from_key_object(
    session: &Session,
    kind: KeyKind,
    object: ObjectHandle,
) -> Result<Option<Result<Vec<u8>, String>>, Fault> {
    if kind == KeyKind::Rsa {
        let modulus = attribute!(session, object, Modulus)?;
        let exponent = attribute!(session, object, PublicExponent)?;
        return Ok(modulus.zip(exponent).map(|(n, e)| spki::of_modulus(&n, &e)));
    }
    let point = attribute!(session, object, EcPoint)?;
    Ok(point.map(|point| spki::of_point(kind, &point)))
}

fn from_certificate(der: Option<Vec<u8>>) -> Result<Vec<u8>, String> {
    let certificate = Certificate::from_der(&der.unwrap_or_default())
        .map_err(|e| format!("the certificate with its CKA_ID cannot be read: {e}"))?;
    certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .map_err(|e| e.to_string())
}

/// The module's claims about a key's life. A software token makes the same ones, so they are no proof.
pub(crate) fn read_claims(session: &Session, key: ObjectHandle) -> Result<Claims, Fault> {
    let local = attribute!(session, key, Local)?;
    // An imported key has none, and cryptoki logs an error for the value that says so.
    let mechanism = match local {
        Some(false) => None,
        _ => attribute!(session, key, KeyGenMechanism)?,
    };
    Ok(Claims {
        sensitive: attribute!(session, key, Sensitive)?,
        extractable: attribute!(session, key, Extractable)?,
        always_sensitive: attribute!(session, key, AlwaysSensitive)?,
        never_extractable: attribute!(session, key, NeverExtractable)?,
        local,
        key_gen_mechanism: mechanism.map(|mechanism| mechanism.to_string()),
    })
}

/// Claimed only if the key was made on the token and could never leave it since.
fn grade(claims: &Claims) -> EvidenceGrade {
    match claims.finding().exclusive {
        Exclusive::No => EvidenceGrade::None,
        _ => EvidenceGrade::Claimed,
    }
}

fn for_people(claims: &Claims) -> Vec<(String, String)> {
    let flag = |value: Option<bool>| value.map_or("unknown".to_owned(), |value| value.to_string());
    let mechanism = claims.key_gen_mechanism.clone();
    [
        ("sensitive", flag(claims.sensitive)),
        ("extractable", flag(claims.extractable)),
        ("always-sensitive", flag(claims.always_sensitive)),
        ("never-extractable", flag(claims.never_extractable)),
        ("local", flag(claims.local)),
        (
            "key-gen-mechanism",
            mechanism.unwrap_or_else(|| "unknown".to_owned()),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
