//! What is asked for, to the last detail that matters.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::name::{KeyVersionId, Tenant};
use crate::record::FreezeScope;
use crate::scheme::Scheme;
use crate::time::Timestamp;
use crate::uri::KeyUri;

/// Version of the request's format.
const VERSION: u32 = 1;

/// Random bytes that make two requests for the same thing different.
pub const NONCE_LEN: usize = 16;

/// Longest text of a request in bytes.
pub const REQUEST_MAX: usize = 16 << 10;

/// One request for approvals. Its canonical JSON (RFC 8785) is what is hashed, shown and carried about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Format version, 1.
    pub v: u32,
    /// Origin of the log that will record what is done.
    pub log: String,
    /// [`NONCE_LEN`] random bytes in hex: an approval is for one request, not for all like it.
    pub nonce: String,
    /// Whose keys it concerns.
    pub tenant: Tenant,
    /// Who asks, and the only one that may do it then.
    pub requester: Requester,
    /// By the host's clock.
    pub made_at: Timestamp,
    /// From then on no approval of it counts.
    pub expires_at: Timestamp,
    /// How many approvers have to say yes.
    pub approvals: u32,
    /// What shall happen.
    #[serde(flatten)]
    pub params: Params,
}

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The identity.
    pub principal: String,
    /// SHA-256 of the public key in its certificate.
    pub spki_sha256: Sha256Digest,
}

/// A key version that is to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// The version.
    pub key: KeyVersionId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Sha256Digest,
}

/// What shall happen. `action` in the JSON names the variant, `params` holds its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", content = "params", rename_all = "kebab-case")]
pub enum Params {
    /// A key is made on a token.
    Generate {
        /// The version it will be enrolled as.
        key: KeyVersionId,
        /// The token.
        token: String,
        /// Its address there.
        uri: KeyUri,
        /// What it will sign with.
        scheme: Scheme,
        /// Modulus length, for RSA schemes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rsa_bits: Option<u16>,
    },
    /// A version begins to sign.
    Activate(SigningKey),
    /// A successor takes over.
    Rotate {
        /// The version that signs until then.
        from: SigningKey,
        /// Its successor.
        to: SigningKey,
    },
    /// A successor takes over at a time that is set now.
    ScheduleRotation {
        /// The version that signs until then.
        from: SigningKey,
        /// Its successor.
        to: SigningKey,
        /// Not before.
        at: Timestamp,
    },
    /// A version may be in other hands: it never signs again.
    Compromise {
        /// The version.
        key: SigningKey,
        /// Since when.
        effective_time: Timestamp,
        /// Why.
        reason: String,
    },
    /// A version's private part is destroyed.
    Destroy(SigningKey),
    /// Another policy comes into force.
    Policy {
        /// SHA-256 of its text.
        digest: Sha256Digest,
    },
    /// A freeze ends.
    Thaw {
        /// What is frozen.
        scope: FreezeScope,
    },
    /// A clock that the daemon doubts is right.
    AcceptClock {
        /// What it should have said when it was doubted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Timestamp>,
        /// How somebody knows.
        reason: String,
    },
    /// Bodies of old records are destroyed.
    Erase {
        /// Whose records.
        of: Tenant,
        /// They are older than this.
        before: Timestamp,
        /// Why.
        reason: String,
    },
    /// One payload is signed.
    Sign {
        /// The keys, in the order of the signatures.
        keys: Vec<SigningKey>,
        /// DSSE payloadType.
        payload_type: String,
        /// SHA-256 of the payload.
        payload_sha256: Sha256Digest,
        /// SHA-256 of the pre-authentication encoding: what the keys sign.
        pae_sha256: Sha256Digest,
    },
}

/// Why a text is no request.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// Too long.
    #[error("it has {0} bytes, a request at most {REQUEST_MAX}")]
    TooLong(usize),
    /// Not JSON, or without a member.
    #[error("it is no approval request: {0}")]
    Json(#[from] JsonError),
    /// Other bytes say the same.
    #[error(
        "it is not the canonical JSON of a request; use the file that `sealwright approve export` wrote"
    )]
    NotCanonical,
    /// Another version.
    #[error("it is of version {0}; this program knows {VERSION}, install a newer one")]
    Version(u32),
}

impl Request {
    /// A request by `requester`; `nonce` is random.
    pub fn new(
        log: &str,
        nonce: [u8; NONCE_LEN],
        tenant: Tenant,
        requester: Requester,
        (made_at, expires_at): (Timestamp, Timestamp),
        (approvals, params): (u32, Params),
    ) -> Self {
        Self {
            v: VERSION,
            log: log.to_owned(),
            nonce: hex::encode(nonce),
            tenant,
            requester,
            made_at,
            expires_at,
            approvals,
            params,
        }
    }

    /// Its canonical text; `sha256sum` of it is [`Self::digest`].
    pub fn to_text(&self) -> String {
        // The members are strings and small integers, which serialise.
        serde_json_canonicalizer::to_string(self).unwrap_or_default()
    }

    /// Reads a canonical text: whoever shows what was read shows everything that the digest covers.
    ///
    /// # Errors
    /// [`BadRequest`]
    pub fn parse(text: &[u8]) -> Result<Self, BadRequest> {
        if text.len() > REQUEST_MAX {
            return Err(BadRequest::TooLong(text.len()));
        }
        json::check(text)?;
        let request: Self = serde_json::from_slice(text).map_err(JsonError::Form)?;
        if request.v != VERSION {
            return Err(BadRequest::Version(request.v));
        }
        // A member that was passed over would be missing here.
        if request.to_text().as_bytes() == text {
            Ok(request)
        } else {
            Err(BadRequest::NotCanonical)
        }
    }

    /// What approvers sign: SHA-256 of the canonical text.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&[self.to_text().as_bytes()])
    }
}

impl Params {
    /// The name in requests.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Generate { .. } => "generate",
            Self::Activate(_) => "activate",
            Self::Rotate { .. } => "rotate",
            Self::ScheduleRotation { .. } => "schedule-rotation",
            Self::Compromise { .. } => "compromise",
            Self::Destroy(_) => "destroy",
            Self::Policy { .. } => "policy",
            Self::Thaw { .. } => "thaw",
            Self::AcceptClock { .. } => "accept-clock",
            Self::Erase { .. } => "erase",
            Self::Sign { .. } => "sign",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> Request {
        let key = |version: u32| SigningKey {
            key: format!("default/release#{version}").parse().unwrap(),
            spki_sha256: Sha256Digest([u8::try_from(version).unwrap(); 32]),
        };
        let params = Params::Rotate {
            from: key(1),
            to: key(2),
        };
        let requester = Requester {
            principal: "spiffe://test/op".to_owned(),
            spki_sha256: Sha256Digest([9; 32]),
        };
        let times = (Timestamp::default(), Timestamp::from_unix_millis(1000));
        Request::new(
            "test/log",
            [7; NONCE_LEN],
            Tenant::default(),
            requester,
            times,
            (2, params),
        )
    }

    #[test]
    fn a_request_survives_its_text_and_says_its_action() {
        let text = request().to_text();
        assert_eq!(Request::parse(text.as_bytes()).unwrap(), request());
        assert!(
            text.starts_with("{\"action\":\"rotate\",\"approvals\":2,"),
            "{text}"
        );
        assert_eq!(request().digest(), Sha256Digest::of(&[text.as_bytes()]));
    }

    #[test]
    fn a_text_that_could_be_read_two_ways_is_no_request() {
        let text = request().to_text();
        let changed = |what: &str, with: &str| {
            let changed = text.replacen(what, with, 1);
            assert_ne!(changed, text);
            Request::parse(changed.as_bytes()).unwrap_err()
        };
        assert!(matches!(changed(":", ": "), BadRequest::NotCanonical));
        assert!(matches!(
            changed("{", "{\"a\":1,"),
            BadRequest::NotCanonical
        ));
        assert!(matches!(
            changed("\"v\":1", "\"v\":2"),
            BadRequest::Version(2)
        ));
        assert!(matches!(
            changed("\"v\":1", "\"v\":1,\"v\":1"),
            BadRequest::Json(_)
        ));
        assert!(matches!(changed("rotate", "turn"), BadRequest::Json(_)));
        assert!(matches!(
            changed("\"nonce\"", "\"once\""),
            BadRequest::Json(_)
        ));
        let long = " ".repeat(REQUEST_MAX + 1);
        assert!(matches!(
            Request::parse(long.as_bytes()),
            Err(BadRequest::TooLong(_))
        ));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_again_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = Request::parse(&bytes) {
                prop_assert_eq!(request.to_text().into_bytes(), bytes);
            }
        }
    }
}
