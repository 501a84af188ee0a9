//! Sigstore's `trusted_root.json`: the logs and time stamp authorities a verifier believes.
//!
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>

use serde::Deserialize;

use super::proto::Base64;
use crate::json::{self, JsonError};
use crate::time::Timestamp;
use crate::verify::PublicKey;

/// The logs and authorities of one Sigstore instance, retired ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedRoot {
    pub(super) logs: Vec<TrustedLog>,
    pub(super) authorities: Vec<Authority>,
}

/// A transparency log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TrustedLog {
    /// Full key id, as log entries carry it.
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
    pub(super) valid: Validity,
}

/// A time stamp authority.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Authority {
    /// DER, the signer's side first, the anchor last.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) valid: Validity,
}

/// A range of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    start: Timestamp,
    end: Option<Timestamp>,
}

impl Validity {
    pub(super) fn covers(&self, time: Timestamp) -> bool {
        self.start <= time && self.end.is_none_or(|end| time <= end)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RootJson {
    tlogs: Option<Vec<LogJson>>,
    timestamp_authorities: Option<Vec<AuthorityJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogJson {
    public_key: KeyJson,
    log_id: LogIdJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogIdJson {
    key_id: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyJson {
    raw_bytes: Base64,
    valid_for: Option<ValidityJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorityJson {
    cert_chain: ChainJson,
    valid_for: Option<ValidityJson>,
}

#[derive(Deserialize)]
struct ChainJson {
    certificates: Option<Vec<CertificateJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateJson {
    raw_bytes: Base64,
}

#[derive(Deserialize)]
struct ValidityJson {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl TrustedRoot {
    /// The root of time stamp authorities alone: each certificate (DER) may sign time stamps, or issue the certificates
    /// of those who do, as long as it is valid itself.
    pub fn of_authorities(certificates: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let authority = |certificate| Authority {
            chain: vec![certificate],
            valid: Validity {
                start: Timestamp::default(),
                end: None,
            },
        };
        Self {
            logs: Vec::new(),
            authorities: certificates.into_iter().map(authority).collect(),
        }
    }

    /// Whether it knows a time stamp authority.
    pub fn has_authorities(&self) -> bool {
        !self.authorities.is_empty()
    }

    /// Reads the JSON. Absent lists are empty. What cannot be used is left out: a log with a key of another
    /// algorithm, and whatever has no `start`.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let json: RootJson = json::from_slice(bytes)?;
        let authorities = json.timestamp_authorities.unwrap_or_default();
        Ok(Self {
            logs: json
                .tlogs
                .unwrap_or_default()
                .into_iter()
                .filter_map(log)
                .collect(),
            authorities: authorities.into_iter().filter_map(authority).collect(),
        })
    }
}

fn log(json: LogJson) -> Option<TrustedLog> {
    Some(TrustedLog {
        id: json.log_id.key_id.0,
        key: PublicKey::from_spki_der(&json.public_key.raw_bytes.0).ok()?,
        valid: validity(json.public_key.valid_for)?,
    })
}

fn authority(json: AuthorityJson) -> Option<Authority> {
    let certificates = json.cert_chain.certificates.unwrap_or_default();
    Some(Authority {
        chain: certificates
            .into_iter()
            .map(|certificate| certificate.raw_bytes.0)
            .collect(),
        valid: validity(json.valid_for)?,
    })
}

fn validity(json: Option<ValidityJson>) -> Option<Validity> {
    let json = json?;
    Some(Validity {
        start: json.start?,
        end: json.end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn both_ends_of_a_range_are_inside() {
        let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        let valid = Validity {
            start,
            end: Some(end),
        };
        assert!(valid.covers(start) && valid.covers(end));
        assert!(
            !valid.covers(at("2025-12-31T23:59:59Z")) && !valid.covers(at("2026-12-31T00:00:01Z"))
        );
        assert!(Validity { start, end: None }.covers(at("2999-01-01T00:00:00Z")));
    }

    #[test]
    fn lists_may_be_absent_and_what_has_no_start_is_left_out() {
        let empty = TrustedRoot::parse(b"{}").unwrap();
        assert_eq!(
            empty,
            TrustedRoot {
                logs: vec![],
                authorities: vec![]
            }
        );
        let root = |valid: &str| {
            let text = format!(r#"{{"timestampAuthorities":[{{"certChain":{{}},{valid}}}]}}"#);
            TrustedRoot::parse(text.as_bytes())
                .unwrap()
                .authorities
                .len()
        };
        assert_eq!(root(r#""validFor":{"start":"2026-01-01T00:00:00Z"}"#), 1);
        assert_eq!(root(r#""validFor":{"end":"2026-01-01T00:00:00Z"}"#), 0);
        assert_eq!(root(r#""x":0"#), 0);
    }
}
