//! Permission as a value: made only here, carried by move, spent by the signing stage.

mod crl;
mod demands;
mod once;
mod publication;

use std::time::Instant;

use crate::approval;
use crate::crl::CrlError;
use crate::digest::Sha256Digest;
use crate::dsse::Pae;
use crate::error::Code;
use crate::identity::{PeerCred, Principal};
use crate::key::{KeyState, KeyVersion, Purpose};
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::receipt::{self, Relation};
use crate::revocation;
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::state::{State, StateError};
use crate::statement::{PAYLOAD_TYPE, Subject};
use crate::succession;
use crate::time::Timestamp;
use crate::trust;
use crate::uri::KeyUri;

pub use self::crl::{CrlIntent, PermittedCrl, authorise_crl};
pub use self::demands::{Demands, Shown, TokenDemand};
pub use self::once::{ONCE_SUBJECTS_BYTES_MAX, OnceError};
pub use publication::{
    PermittedDocument, PermittedRevocation, SpeechIntent, authorise_revocation, authorise_trust,
};

/// Leave to sign one message with one key version, once.
///
/// There is no public constructor and no `Clone`: whoever holds a permit got it from [`authorise`] (or, for what the daemon
/// says itself, from one of the other `authorise_…` here) and loses it by using it.
///
/// ```
/// # use sealwright_core::{digest::Sha256Digest, dsse::Pae, permit::Permit, sign::ToBeSigned};
/// fn once(permit: Permit, pae: &Pae<'_>, sha256: Sha256Digest) {
///     let _ = ToBeSigned::dsse(permit, pae, sha256);
/// }
/// ```
///
/// Spending it twice does not compile:
///
/// ```compile_fail,E0382
/// # use sealwright_core::{digest::Sha256Digest, dsse::Pae, permit::Permit, sign::ToBeSigned};
/// fn twice(permit: Permit, pae: &Pae<'_>, sha256: Sha256Digest) {
///     let _ = ToBeSigned::dsse(permit, pae, sha256);
///     let _ = ToBeSigned::dsse(permit, pae, sha256);
/// }
/// ```
///
/// Nor does copying one:
///
/// ```compile_fail,E0599
/// # use sealwright_core::permit::Permit;
/// fn copy(permit: &Permit) -> Permit {
///     Permit::clone(permit)
/// }
/// ```
///
/// Nor making one up, here by changing what it says:
///
/// ```compile_fail,E0451
/// # use sealwright_core::{digest::Sha256Digest, permit::Permit};
/// fn forge(permit: Permit, message_sha256: Sha256Digest) -> Permit {
///     Permit { message_sha256, ..permit }
/// }
/// ```
#[must_use = "a permit that is dropped was granted for nothing"]
#[derive(Debug)]
pub struct Permit {
    key: KeyVersionId,
    token: String,
    uri: KeyUri,
    spki: Spki,
    evidence_sha256: Option<Sha256Digest>,
    certificate: Option<String>,
    purpose: Purpose,
    scheme: Scheme,
    message_sha256: Sha256Digest,
    principal: String,
    policy_digest: Sha256Digest,
    state_index: u64,
    deadline: Instant,
    demands: Demands,
}

impl Permit {
    /// The key version that may sign.
    pub fn key(&self) -> &KeyVersionId {
        &self.key
    }

    /// The tenant the key belongs to.
    pub fn tenant(&self) -> &Tenant {
        self.key.key.tenant()
    }

    /// The configured token that holds the key.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key's address inside the token.
    pub fn uri(&self) -> &KeyUri {
        &self.uri
    }

    /// The enrolled public key.
    pub fn spki(&self) -> &Spki {
        &self.spki
    }

    /// SHA-256 of the newest evidence of its origin.
    pub fn evidence_sha256(&self) -> Option<Sha256Digest> {
        self.evidence_sha256
    }

    /// The key's certificate (base64 of DER), where it has one.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// What the key is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The scheme to sign with.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// SHA-256 of the message that may be signed (for `dsse`: of the PAE).
    pub fn message_sha256(&self) -> Sha256Digest {
        self.message_sha256
    }

    /// Who was permitted.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The policy that permitted it.
    pub fn policy_digest(&self) -> Sha256Digest {
        self.policy_digest
    }

    /// The record since which the key version might sign when the permit was made.
    pub fn state_index(&self) -> u64 {
        self.state_index
    }

    /// When the permit runs out.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the policy asks for beside.
    pub fn demands(&self) -> Demands {
        self.demands
    }
}

/// What may be done; each is one action of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Sign with a key.
    Sign,
    /// Have a receipt signed with a key.
    IssueReceipt,
    /// Read receipts, their history and their proofs.
    ReadReceipt,
    /// See a key's name, state and public part.
    ReadKey,
    /// Enrol, generate, suspend, resume.
    ManageKey,
    /// Read records and proofs.
    ReadAudit,
    /// Clear a token's marks, activate policy, freeze and thaw.
    Operate,
    /// Bring cosignatures of witnesses.
    Anchor,
    /// Destroy bodies of old records.
    EraseAudit,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::Sign,
        Self::IssueReceipt,
        Self::ReadReceipt,
        Self::ReadKey,
        Self::ManageKey,
        Self::ReadAudit,
        Self::Operate,
        Self::Anchor,
        Self::EraseAudit,
    ];

    /// The name used in policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::IssueReceipt => "issueReceipt",
            Self::ReadReceipt => "readReceipt",
            Self::ReadKey => "readKey",
            Self::ManageKey => "manageKey",
            Self::ReadAudit => "readAudit",
            Self::Operate => "operate",
            Self::Anchor => "anchor",
            Self::EraseAudit => "eraseAudit",
        }
    }
}

/// What policy is asked about: the key, or the tenant where no key is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A key.
    Key {
        /// Its name.
        name: &'a KeyName,
        /// What it is for.
        purpose: Purpose,
    },
    /// A tenant as a whole.
    Tenant(&'a Tenant),
}

/// What a signing request says of its payload; the context of the policy question.
#[derive(Debug, Clone, Copy)]
pub struct SignFacts<'a> {
    /// DSSE payloadType.
    pub payload_type: &'a str,
    /// predicateType of a statement.
    pub predicate_type: Option<&'a str>,
    /// Whether the required members of that predicate type are known and were checked.
    pub predicate_known: bool,
    /// Subjects of a statement.
    pub subjects: &'a [Subject],
    /// Bytes of payload.
    pub payload_len: usize,
    /// The receipt that the daemon made the payload from, where it did.
    pub receipt: Option<ReceiptFacts<'a>>,
}

impl SignFacts<'_> {
    /// What policy is asked for.
    pub fn action(&self) -> Action {
        match self.receipt {
            Some(_) => Action::IssueReceipt,
            None => Action::Sign,
        }
    }
}

/// What a receipt says of itself.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptFacts<'a> {
    /// Its type with the schema's version.
    pub receipt_type: &'a str,
    /// The groups of metrics in which it differs from the receipt that it follows, or all that it defines.
    pub metric_groups: &'a [&'a str],
    /// How it follows another, if it does.
    pub follows: Option<Relation>,
}

/// One question to the policy.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// What it wants to do.
    pub action: Action,
    /// With what.
    pub resource: Resource<'a>,
    /// The payload, for [`Action::Sign`] and [`Action::IssueReceipt`].
    pub sign: Option<SignFacts<'a>>,
    /// The access token that came along.
    pub token: Shown<'a>,
    /// When.
    pub now: Timestamp,
}

/// The policy's answer. Anything but a clean allow is a deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Allowed by these policies, with no evaluation error anywhere.
    Allow {
        /// Ids of the permitting policies.
        policies: Vec<String>,
        /// What all of them demand together.
        demands: Demands,
    },
    /// Not allowed.
    Deny {
        /// Ids of the forbidding policies; empty for default deny.
        policies: Vec<String>,
        /// Evaluation errors: each of them alone is a reason to deny.
        errors: Vec<String>,
    },
}

impl Answer {
    /// What is demanded of an allow. Approvals that it asks for are asked for by whoever takes the permit, and looked
    /// at once more where the release is recorded.
    fn allowed(self, token: Shown<'_>) -> Result<Demands, Denial> {
        match self {
            Self::Deny { policies, errors } => Err(Denial::Policy { policies, errors }),
            Self::Allow { demands, .. } if !demands.token.is_met_by(token) => {
                Err(Denial::TokenRequired(demands.token))
            }
            Self::Allow { demands, .. } => Ok(demands),
        }
    }

    /// What is still demanded of an allow that counts as it stands. One that waits for approvals does not.
    pub fn granted(self, token: Shown<'_>) -> Result<Demands, Denial> {
        match self.allowed(token)? {
            demands if demands.approvals > 0 => Err(Denial::ApprovalRequired(demands.approvals)),
            demands => Ok(demands),
        }
    }
}

/// A policy in force. The engine is a parameter, so that decisions here can be tested with tables.
pub trait PolicyEngine: Send + Sync {
    /// Answers one question.
    fn decide(&self, question: &Question<'_>) -> Answer;

    /// Whether any policy could allow this at all, whatever the payload. Asked before a body is read; may
    /// say yes too often, never no too often.
    fn could_allow(&self, principal: &Principal, action: Action, resource: &Resource<'_>) -> bool;

    /// Where [`Self::could_allow`] says no: the policies that forbid it whatever the payload. None: no permit is about
    /// it.
    fn forbids_outright(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
    ) -> Vec<String>;

    /// Whether a policy names `predicate_type` as a string: only then is a type signed that
    /// [`crate::predicate`] does not know.
    fn names_predicate_type(&self, predicate_type: &str) -> bool;

    /// SHA-256 of the policy text.
    fn digest(&self) -> Sha256Digest;
}

/// Statements that no client gets signed: it could say anything about keys with them, or approve its own requests.
pub const RESERVED_PREDICATE_TYPES: [&str; 4] = [
    receipt::PREDICATE_TYPE,
    succession::PREDICATE_TYPE,
    revocation::PREDICATE_TYPE,
    approval::PREDICATE_TYPE,
];

/// Why there is no permit. The client sees [`Denial::code`], record and log see the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The tenant has no such key.
    #[error("no key {0} is enrolled")]
    UnknownKey(KeyName),
    /// The key is another tenant's.
    #[error("key {key} does not belong to tenant {tenant}")]
    OtherTenant {
        /// The key that was named.
        key: KeyName,
        /// The caller's tenant.
        tenant: Tenant,
    },
    /// The tenant, or everything, is frozen.
    #[error(transparent)]
    Frozen(Box<StateError>),
    /// The key has no active version.
    #[error("key {key} is {state:?}, not Active")]
    NotActive {
        /// The newest version.
        key: KeyVersionId,
        /// Its state.
        state: KeyState,
    },
    /// The key is for something else.
    #[error("key {key} is for {actual}, not dsse", actual = .actual.as_str())]
    WrongPurpose {
        /// The key.
        key: KeyVersionId,
        /// Its purpose.
        actual: Purpose,
    },
    /// The key does not sign this payload type.
    #[error("key {key} does not sign payload type {payload_type:?}")]
    PayloadType {
        /// The key.
        key: KeyVersionId,
        /// The request's type.
        payload_type: String,
    },
    /// Neither program nor policy knows the predicate type.
    #[error("no policy names predicate type {0:?}, and its required members are not known")]
    PredicateType(String),
    /// See [`RESERVED_PREDICATE_TYPES`].
    #[error("statements of type {0} are made by the daemon or by approvers, never for clients")]
    Reserved(&'static str),
    /// A payload type that only the daemon signs, for the same reason.
    #[error("payloads of type {0} are made by the daemon alone")]
    ReservedPayload(&'static str),
    /// The step is not possible as things are.
    #[error(transparent)]
    NotPossible(Box<StateError>),
    /// What the daemon would say itself cannot be put together.
    #[error("the statement cannot be made: {0}")]
    Statement(String),
    /// There is no certificate revocation list to sign.
    #[error(transparent)]
    Crl(Box<CrlError>),
    /// Policy says no.
    #[error("policy denies it: {}", explain(.policies, .errors))]
    Policy {
        /// Forbidding policies.
        policies: Vec<String>,
        /// Evaluation errors.
        errors: Vec<String>,
    },
    /// Policy says no whatever the payload.
    #[error("policy denies it, whatever the payload: {}", not_admitted(.0))]
    NotAdmitted(Vec<String>),
    /// Policy says yes, if others approve.
    #[error("the policy demands {0} approval(s) of this request; nothing was done")]
    ApprovalRequired(u32),
    /// Policy says yes, to whoever shows an access token that is bound to him.
    #[error("the policy demands an access token that is bound to {0}")]
    TokenRequired(TokenDemand),
    /// Policy says yes, once, and the payload cannot be told from others.
    #[error(transparent)]
    Once(#[from] OnceError),
}

fn explain(policies: &[String], errors: &[String]) -> String {
    match (policies.is_empty(), errors.is_empty()) {
        (true, true) => "no policy permits it".to_owned(),
        (_, false) => format!(
            "evaluation failed ({}), which counts as a deny",
            errors.join("; ")
        ),
        (false, true) => format!("forbidden by {}", policies.join(", ")),
    }
}

fn not_admitted(forbids: &[String]) -> String {
    match forbids.is_empty() {
        true => "no permit policy is about this principal, action and key".to_owned(),
        false => format!("forbidden by {}", forbids.join(", ")),
    }
}

impl Denial {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownKey(_) => Code::UnknownKey,
            Self::Frozen(_) => Code::Frozen,
            Self::NotActive { .. } => Code::KeyNotActive,
            Self::PayloadType { .. } | Self::ReservedPayload(_) => Code::UnsupportedPayloadType,
            Self::PredicateType(_) | Self::Reserved(_) => Code::UnsupportedPredicateType,
            Self::NotPossible(error) => error.code(),
            Self::Crl(error) if matches!(**error, CrlError::NoIssuer { .. }) => Code::UnknownKey,
            Self::Statement(_) | Self::Crl(_) => Code::InvalidRequest,
            Self::ApprovalRequired(_) => Code::ApprovalRequired,
            Self::TokenRequired(_) => Code::TokenRequired,
            Self::Once(error) => error.code(),
            Self::OtherTenant { .. }
            | Self::WrongPurpose { .. }
            | Self::Policy { .. }
            | Self::NotAdmitted(_) => Code::Denied,
        }
    }
}

/// A request to sign with one key, as far as policy is concerned.
#[derive(Debug, Clone)]
pub struct SignIntent<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// The key.
    pub key: &'a KeyName,
    /// The payload.
    pub facts: SignFacts<'a>,
    /// SHA-256 of the PAE.
    pub pae_sha256: Sha256Digest,
    /// The access token that came along.
    pub token: Shown<'a>,
    /// When.
    pub now: Timestamp,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// Looks up the version of `key` that signs, without asking policy: `admit` and [`authorise`] share it.
pub fn signing_version<'s>(
    state: &'s State,
    principal: &Principal,
    key: &KeyName,
) -> Result<(KeyVersionId, &'s KeyVersion), Denial> {
    if key.tenant() != &principal.tenant {
        return Err(Denial::OtherTenant {
            key: key.clone(),
            tenant: principal.tenant.clone(),
        });
    }
    let (number, version) = state
        .signing_version(key)
        .ok_or_else(|| Denial::UnknownKey(key.clone()))?;
    let id = key.version(number);
    let purpose = version.enrolment.purpose;
    if purpose != Purpose::Dsse {
        return Err(Denial::WrongPurpose {
            key: id,
            actual: purpose,
        });
    }
    state
        .check_thawed(&principal.tenant)
        .map_err(|e| Denial::Frozen(Box::new(e)))?;
    if version.state != KeyState::Active {
        return Err(Denial::NotActive {
            key: id,
            state: version.state,
        });
    }
    Ok((id, version))
}

/// May this principal have anything signed with this key at all? Asked before the body is read.
pub fn admit(
    state: &State,
    policy: &dyn PolicyEngine,
    principal: &Principal,
    action: Action,
    key: &KeyName,
) -> Result<(), Denial> {
    let (_, version) = signing_version(state, principal, key)?;
    let resource = Resource::Key {
        name: key,
        purpose: version.enrolment.purpose,
    };
    if policy.could_allow(principal, action, &resource) {
        Ok(())
    } else {
        let policies = policy.forbids_outright(principal, action, &resource);
        Err(Denial::NotAdmitted(policies))
    }
}

/// Decides on one request.
pub fn authorise(
    state: &State,
    policy: &dyn PolicyEngine,
    intent: &SignIntent<'_>,
) -> Result<Permit, Denial> {
    let (key, version) = signing_version(state, intent.principal, intent.key)?;
    let enrolment = &version.enrolment;
    let payload_type = intent.facts.payload_type;
    if payload_type == trust::PAYLOAD_TYPE {
        return Err(Denial::ReservedPayload(trust::PAYLOAD_TYPE));
    }
    if !enrolment
        .payload_types
        .iter()
        .any(|allowed| allowed == payload_type)
    {
        return Err(Denial::PayloadType {
            key,
            payload_type: payload_type.to_owned(),
        });
    }
    check_predicate_type(policy, &intent.facts)?;
    let question = Question {
        principal: intent.principal,
        peer: intent.peer,
        action: intent.facts.action(),
        resource: Resource::Key {
            name: intent.key,
            purpose: enrolment.purpose,
        },
        sign: Some(intent.facts),
        token: intent.token,
        now: intent.now,
    };
    let permit = grant(
        policy,
        &question,
        state.permit_index(&key, version),
        key,
        version,
        intent.pae_sha256,
        intent.deadline,
    )?;
    if permit.demands.once {
        once::check(&intent.facts)?;
    }
    Ok(permit)
}

/// Whether a client may have a statement of this type signed at all. What the daemon made from a receipt is no client's.
fn check_predicate_type(policy: &dyn PolicyEngine, facts: &SignFacts<'_>) -> Result<(), Denial> {
    if facts.receipt.is_some() {
        return Ok(());
    }
    let reserved = RESERVED_PREDICATE_TYPES.iter();
    let mut reserved = reserved.filter(|t| facts.predicate_type == Some(**t));
    if let Some(predicate_type) = reserved.next() {
        return Err(Denial::Reserved(predicate_type));
    }
    let unknown = facts.predicate_type.filter(|_| !facts.predicate_known);
    match unknown.filter(|t| !policy.names_predicate_type(t)) {
        Some(predicate_type) => Err(Denial::PredicateType(predicate_type.to_owned())),
        None => Ok(()),
    }
}

/// A rotation, as far as policy is concerned.
#[derive(Debug, Clone)]
pub struct RotationIntent<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// The version that signs now.
    pub from: &'a KeyVersionId,
    /// Its successor.
    pub to: &'a KeyVersionId,
    /// The access token that came along.
    pub token: Shown<'a>,
    /// When.
    pub now: Timestamp,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// Decides on a rotation. The permit is for one message: the succession statement, which is made here, so that
/// whoever manages a key cannot have it sign anything else.
pub fn authorise_rotation(
    state: &State,
    policy: &dyn PolicyEngine,
    intent: &RotationIntent<'_>,
) -> Result<(Permit, Vec<u8>), Denial> {
    let not_possible = |e| Denial::NotPossible(Box::new(e));
    state
        .check_rotation(intent.from, intent.to)
        .map_err(not_possible)?;
    let known = |id: &KeyVersionId| {
        let version = state.version(id);
        version.ok_or_else(|| not_possible(StateError::UnknownVersion(id.clone())))
    };
    let (from, to) = (known(intent.from)?, known(intent.to)?);
    let log = state.genesis().map_or("", |genesis| &genesis.origin);
    let statement = succession::statement(log, &from.enrolment, &to.enrolment, intent.now)
        .map_err(|e| Denial::Statement(e.to_string()))?;
    let pae = Pae {
        payload_type: PAYLOAD_TYPE,
        payload: &statement,
    };
    let pae_sha256 = Sha256Digest::of(&[&pae.prefix(), pae.payload]);
    let question = Question {
        principal: intent.principal,
        peer: intent.peer,
        action: Action::ManageKey,
        resource: Resource::Key {
            name: &intent.from.key,
            purpose: from.enrolment.purpose,
        },
        sign: None,
        token: intent.token,
        now: intent.now,
    };
    let permit = grant(
        policy,
        &question,
        state.permit_index(intent.from, from),
        intent.from.clone(),
        from,
        pae_sha256,
        intent.deadline,
    )?;
    Ok((permit, statement))
}

/// Asks the policy; the only place where a [`Permit`] is made.
fn grant(
    policy: &dyn PolicyEngine,
    question: &Question<'_>,
    state_index: u64,
    key: KeyVersionId,
    version: &KeyVersion,
    message_sha256: Sha256Digest,
    deadline: Instant,
) -> Result<Permit, Denial> {
    let enrolment = &version.enrolment;
    let answer = policy.decide(question);
    let demands = match question.action {
        Action::Sign => answer.allowed(question.token)?,
        _ => answer.granted(question.token)?,
    };
    Ok(Permit {
        key,
        token: enrolment.token.clone(),
        uri: enrolment.uri.clone(),
        spki: enrolment.spki.clone(),
        evidence_sha256: version.attestation.map(|newest| newest.evidence_sha256),
        certificate: enrolment.certificate.clone(),
        purpose: enrolment.purpose,
        scheme: enrolment.scheme,
        message_sha256,
        principal: question.principal.id.clone(),
        policy_digest: policy.digest(),
        state_index,
        deadline,
        demands,
    })
}
