//! Sigstore's `trusted_root.json` for verifiers that go by certificates: the authorities of the certified keys, and the
//! log.
//!
//! Such a verifier knows no revocation: an authority that certified a key which was ever compromised is left out.
//!
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::db::rfc8410::ID_ED_25519;
use der::Encode as _;
use der::asn1::BitString;
use serde_json::{Value, json};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::name::KeyVersionId;
use crate::time::Timestamp;
use crate::tlog::VerifierKey;
use crate::tlog::vkey::{KeyType, key_hash};
use crate::x509;

/// mediaType of what is written: every verifier in the field reads it.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// A key version with a certificate.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The version.
    pub key: KeyVersionId,
    /// Whether it may be in other hands.
    pub is_compromised: bool,
    /// Base64 of the DER of those that lead from its certificate to its authority's own, the nearest first.
    pub chain: Vec<String>,
}

/// A trusted root, and what was left out of it.
#[derive(Debug)]
pub struct TrustedRoot {
    /// Its JSON.
    pub json: Value,
    /// Why which authority is not in it.
    pub left_out: Vec<String>,
}

/// Why there is no trusted root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The log's key is a cosigner's.
    #[error("a log signs checkpoints with Ed25519 or ECDSA P-256, not with a cosignature key")]
    LogKey,
    /// A certificate that is none.
    #[error("a certificate in the chain of {0} is not X.509")]
    NotX509(KeyVersionId),
    /// A name or key that cannot be encoded.
    #[error("the trusted root cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// Puts a trusted root together; `since` is when the log began, or earlier.
///
/// # Errors
/// [`RootError`].
pub fn trusted_root(
    log: &VerifierKey,
    since: Timestamp,
    certified: &[Certified],
) -> Result<TrustedRoot, RootError> {
    let mut by_chain: BTreeMap<&[String], Vec<&Certified>> = BTreeMap::new();
    for key in certified.iter().filter(|key| !key.chain.is_empty()) {
        if key
            .chain
            .iter()
            .any(|text| x509::from_base64(text).is_none())
        {
            return Err(RootError::NotX509(key.key.clone()));
        }
        by_chain.entry(&key.chain).or_default().push(key);
    }
    let (mut authorities, mut left_out) = (Vec::new(), Vec::new());
    for (chain, keys) in by_chain {
        match keys.iter().find(|key| key.is_compromised) {
            Some(bad) => left_out.push(format!(
                "the authority of {}: it certified that key, which is compromised, and a verifier that goes by \
                 certificates could not tell",
                bad.key
            )),
            None => authorities.extend(authority(chain)?),
        }
    }
    let json = json!({
        "mediaType": MEDIA_TYPE,
        "tlogs": [tlog(log, since)?],
        "certificateAuthorities": authorities,
        "ctlogs": [],
        "timestampAuthorities": [],
    });
    Ok(TrustedRoot { json, left_out })
}

fn tlog(log: &VerifierKey, since: Timestamp) -> Result<Value, RootError> {
    let (details, spki) = match log.kind() {
        KeyType::Ed25519 => ("PKIX_ED25519", ed25519_spki(log.public_key())?),
        KeyType::EcdsaP256 => ("PKIX_ECDSA_P256_SHA_256", log.public_key().to_vec()),
        KeyType::CosignatureV1 => return Err(RootError::LogKey),
    };
    let id = key_hash(log.name(), log.kind(), log.public_key());
    Ok(json!({
        "baseUrl": format!("https://{}", log.name()),
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": STANDARD.encode(spki),
            "keyDetails": details,
            "validFor": { "start": since },
        },
        "logId": { "keyId": STANDARD.encode(id) },
    }))
}

fn ed25519_spki(public: &[u8]) -> Result<Vec<u8>, der::Error> {
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ID_ED_25519,
            parameters: None,
        },
        subject_public_key: BitString::from_bytes(public)?,
    }
    .to_der()
}

/// Good as long as its last certificate, the anchor; `None` for a chain without one.
fn authority(chain: &[String]) -> Result<Option<Value>, der::Error> {
    let Some(anchor) = chain.last().and_then(|text| x509::from_base64(text)) else {
        return Ok(None);
    };
    let inner = anchor.tbs_certificate();
    let validity = inner.validity();
    let certificates: Vec<_> = chain
        .iter()
        .map(|text| json!({ "rawBytes": text }))
        .collect();
    Ok(Some(json!({
        "subject": subject(inner.subject())?,
        "uri": "",
        "certChain": { "certificates": certificates },
        "validFor": { "start": time(validity.not_before), "end": time(validity.not_after) },
    })))
}

fn subject(name: &Name) -> Result<Value, der::Error> {
    let organization = name.organization()?.map(|text| text.value().into_owned());
    let common_name = name.common_name()?.map(|text| text.value().into_owned());
    Ok(json!({
        "organization": organization.unwrap_or_default(),
        "commonName": common_name.unwrap_or_default(),
    }))
}

fn time(time: Time) -> Timestamp {
    let millis = i64::try_from(time.to_unix_duration().as_millis());
    Timestamp::from_unix_millis(millis.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle;

    const VKEY: &str = "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu";

    /// The anchor of the fixture's time stamp authority, for want of another.
    fn anchor() -> String {
        let text = include_str!("../../../fixtures/private-log/trusted_root.json");
        let root: Value = serde_json::from_str(text).unwrap();
        let chain = &root["timestampAuthorities"][0]["certChain"]["certificates"];
        chain[1]["rawBytes"].as_str().unwrap().to_owned()
    }

    fn certified(key: &str, is_compromised: bool, chain: Vec<String>) -> Certified {
        Certified {
            key: key.parse().unwrap(),
            is_compromised,
            chain,
        }
    }

    fn root(certified: &[Certified]) -> TrustedRoot {
        trusted_root(&VKEY.parse().unwrap(), Timestamp::default(), certified).unwrap()
    }

    #[test]
    fn each_authority_stands_once_and_our_own_reader_takes_the_log() {
        let [a, b, c] = ["a#1", "b#1", "c#1"].map(|key| certified(key, false, vec![anchor()]));
        let bare = certified("bare#1", false, Vec::new());
        let made = root(&[a, b, c, bare]);
        let authorities = made.json["certificateAuthorities"].as_array().unwrap();
        assert_eq!(authorities.len(), 1);
        assert_eq!(
            authorities[0]["subject"]["organization"],
            "Sealwright fixture"
        );
        assert_eq!(
            authorities[0]["certChain"]["certificates"][0]["rawBytes"],
            anchor()
        );
        assert!(made.left_out.is_empty());
        let read = bundle::TrustedRoot::parse(made.json.to_string().as_bytes()).unwrap();
        assert!(!read.has_authorities());
        assert_eq!(
            made.json["tlogs"][0]["publicKey"]["keyDetails"],
            "PKIX_ED25519"
        );
        // The first bytes of a log's id are the key id of its notes.
        let id = made.json["tlogs"][0]["logId"]["keyId"].as_str().unwrap();
        assert_eq!(hex::encode(&STANDARD.decode(id).unwrap()[..4]), "427208af");
    }

    #[test]
    fn an_authority_of_a_compromised_key_is_left_out() {
        let good = certified("a#1", false, vec![anchor()]);
        let bad = certified("a#2", true, vec![anchor()]);
        let made = root(&[good, bad]);
        assert_eq!(made.json["certificateAuthorities"], json!([]));
        assert!(
            made.left_out[0].contains("default/a#2"),
            "{:?}",
            made.left_out
        );
        let noise = certified("a#1", false, vec!["AAAA".to_owned()]);
        let refused = trusted_root(&VKEY.parse().unwrap(), Timestamp::default(), &[noise]);
        assert!(matches!(refused, Err(RootError::NotX509(_))));
    }
}
