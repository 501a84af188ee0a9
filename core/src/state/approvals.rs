//! Dual control in the fold: who asked for what, who approved it, and what was done with it.
//!
//! The writer of the journal asks here in the step that takes in what was approved, so an approval serves once.

use serde::{Deserialize, Serialize};

use super::{State, StateError};
use crate::approval::{ApprovalError, ApprovalFile, Params, Request, SigningKey, Verdict};
use crate::digest::Sha256Digest;
use crate::key::KeyEvent;
use crate::name::KeyVersionId;
use crate::record::{
    ApprovalGiven, ApprovalRequested, Event, KeyRotated, Outcome, Record, SignRecord, Warrant,
};
use crate::time::Timestamp;

/// Requests of one tenant that may wait at the same time.
pub const OPEN_MAX: usize = 256;

/// Of them, those of one requester: one client that asks in a loop leaves room for the others.
pub const OPEN_OF_ONE_MAX: usize = 64;

/// Requests that are remembered after their end, of all tenants, to say what became of them.
pub const ENDED_MAX: usize = 256;

/// One request for approvals and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What was asked.
    pub request: Request,
    /// Its digest.
    pub digest: Sha256Digest,
    /// Who said yes.
    pub grants: Vec<Grant>,
    /// Who said no.
    pub denied_by: Option<String>,
    /// The record of what was done.
    pub used_by: Option<u64>,
    /// Why it was done before it was approved.
    pub break_glass: Option<String>,
}

/// One approver's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The identity.
    pub approver: String,
    /// SHA-256 of the public key that signed.
    pub spki_sha256: Sha256Digest,
    /// From then on it does not count.
    pub expires: Option<Timestamp>,
    /// Its record.
    pub index: u64,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Approvals are missing.
    Waiting,
    /// It may be done.
    Ready,
    /// It was done.
    Used,
    /// It was done by break-glass and has yet to be approved.
    Owed,
    /// An approver said no.
    Denied,
    /// It ran out.
    Expired,
}

impl Operation {
    /// Where it stands at `now`.
    pub fn status(&self, now: Timestamp) -> Status {
        let is_approved = self.missing(now) == 0;
        match (self.used_by, &self.break_glass, &self.denied_by) {
            (Some(_), Some(_), Some(_)) => Status::Denied,
            (Some(_), Some(_), None) if !is_approved => Status::Owed,
            (Some(_), _, _) => Status::Used,
            (None, _, Some(_)) => Status::Denied,
            _ if now >= self.request.expires_at => Status::Expired,
            _ if is_approved => Status::Ready,
            _ => Status::Waiting,
        }
    }

    /// Whether somebody still has to do something about it.
    pub fn is_open(&self, now: Timestamp) -> bool {
        matches!(
            self.status(now),
            Status::Waiting | Status::Ready | Status::Owed
        )
    }

    /// Approvals that count at `now`. What was done already is approved for good.
    pub fn granted(&self, now: Timestamp) -> u32 {
        let counts = |grant: &&Grant| {
            self.used_by.is_some() || grant.expires.is_none_or(|expires| now < expires)
        };
        u32::try_from(self.grants.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// Approvals that are missing at `now`.
    pub fn missing(&self, now: Timestamp) -> u32 {
        self.request.approvals.saturating_sub(self.granted(now))
    }
}

/// What an event needs approvals for, and which it claims to have.
struct Gated<'e> {
    params: Params,
    by: &'e str,
    approval: Option<u64>,
    break_glass: Option<&'e String>,
    needed: u32,
}

/// An operation that an event of this record uses up.
pub(super) struct Use {
    index: u64,
    break_glass: Option<String>,
}

impl Use {
    /// By a signature, for which no glass is broken.
    pub(super) fn of(index: u64) -> Self {
        Self {
            index,
            break_glass: None,
        }
    }
}

impl State {
    /// How many approvals a step of a key's life or another policy needs; 0: none.
    pub fn approvals_required(&self) -> u32 {
        self.genesis()
            .map_or(0, |genesis| genesis.approvals_required)
    }

    /// The operations that are remembered, by the index of their request.
    pub fn operations(&self) -> impl Iterator<Item = (u64, &Operation)> {
        self.operations.iter().map(|(index, one)| (*index, one))
    }

    /// One operation.
    pub fn operation(&self, index: u64) -> Result<&Operation, ApprovalError> {
        self.operations
            .get(&index)
            .ok_or(ApprovalError::Unknown(index))
    }

    /// Whether `request` could be recorded at `now`.
    pub fn check_request(&self, request: &Request, now: Timestamp) -> Result<(), ApprovalError> {
        let is_open = |one: &&Operation| one.request.tenant == request.tenant && one.is_open(now);
        let open = || self.operations.values().filter(is_open);
        if open().count() >= OPEN_MAX {
            return Err(ApprovalError::TooMany(OPEN_MAX));
        }
        let requester = &request.requester.principal;
        let of_one = open().filter(|one| one.request.requester.principal == *requester);
        if of_one.count() >= OPEN_OF_ONE_MAX {
            return Err(ApprovalError::TooManyOfOne(OPEN_OF_ONE_MAX));
        }
        Ok(())
    }

    /// Whether `file` counts for the operation at `index` at `now`.
    pub fn check_approval(
        &self,
        index: u64,
        file: &ApprovalFile,
        now: Timestamp,
    ) -> Result<(), ApprovalError> {
        let operation = self.operation(index)?;
        let request = &operation.request;
        if file.request != operation.digest {
            return Err(ApprovalError::OtherRequest {
                want: operation.digest,
                got: file.request,
            });
        }
        if operation.status(now) != Status::Owed {
            check_not_ended(index, operation, now)?;
        }
        if let Some(expires_at) = file.predicate.expires.filter(|expires| now >= *expires) {
            return Err(ApprovalError::Stale { expires_at });
        }
        let approver = file.predicate.approver.clone();
        let approvers = self.genesis().map_or(&[][..], |g| &g.approvers);
        if !approvers.contains(&approver) {
            return Err(ApprovalError::NotAnApprover { approver });
        }
        let requester = &request.requester;
        if requester.principal == approver || requester.spki_sha256 == file.spki_sha256 {
            return Err(ApprovalError::IsRequester { approver });
        }
        let spoke = |g: &Grant| g.approver == approver || g.spki_sha256 == file.spki_sha256;
        // Who said yes may think better of it.
        if file.predicate.verdict == Verdict::Granted && operation.grants.iter().any(spoke) {
            return Err(ApprovalError::Repeated { index, approver });
        }
        Ok(())
    }

    /// Whether `principal` may do `params` at `now` by the operation at `index`, where `needed` approvals are asked for.
    pub fn check_use(
        &self,
        index: u64,
        (params, principal): (&Params, &str),
        needed: u32,
        now: Timestamp,
    ) -> Result<(), ApprovalError> {
        let operation = self.operation(index)?;
        check_fits(index, &operation.request, (params, principal), needed)?;
        check_not_ended(index, operation, now)?;
        match operation.missing(now) {
            0 => Ok(()),
            _ => Err(ApprovalError::Incomplete {
                index,
                got: operation.granted(now),
                needed: operation.request.approvals,
            }),
        }
    }

    /// What `event` would need approvals for, whatever the log's rules say; `None` for what never needs any.
    pub fn params_of(&self, event: &Event) -> Result<Option<Params>, StateError> {
        let gated = self.gated(event, self.last_time())?;
        Ok(gated.map(|gated| gated.params))
    }

    /// Whether a release of `sign` by its approval would be taken at `now`, where `needed` approvals are asked for.
    pub fn check_sign_approval(
        &self,
        sign: &SignRecord,
        needed: u32,
        now: Timestamp,
    ) -> Result<(), ApprovalError> {
        let action = "this signature";
        match (sign.approval, sign_params(sign)) {
            _ if needed == 0 && sign.approval.is_none() => Ok(()),
            (Some(index), Some(params)) if self.repeats(sign, index, &params) => Ok(()),
            (Some(index), Some(params)) => {
                self.check_use(index, (&params, &sign.principal), needed, now)
            }
            _ => Err(ApprovalError::Required { action, needed }),
        }
    }

    /// The operation that the record uses up, if it may.
    pub(super) fn check_warrant(&self, record: &Record) -> Result<Option<Use>, StateError> {
        let Some(gated) = self.gated(&record.event, record.time)? else {
            return Ok(None);
        };
        if let Event::Sign(sign) = &record.event
            && gated
                .approval
                .is_some_and(|index| self.repeats(sign, index, &gated.params))
        {
            return Ok(None);
        }
        let (action, needed) = (gated.params.action(), gated.needed);
        let Some(index) = gated.approval else {
            return match needed {
                0 => Ok(None),
                _ => Err(ApprovalError::Required { action, needed }.into()),
            };
        };
        let what = (&gated.params, gated.by);
        if self.goes_on(index, what, needed)? {
            return Ok(None);
        }
        match gated.break_glass {
            None => self.check_use(index, what, needed, record.time)?,
            Some(_) => {
                let operation = self.operation(index)?;
                check_fits(index, &operation.request, what, needed)?;
                check_not_ended(index, operation, record.time)?;
            }
        }
        Ok(Some(Use {
            index,
            break_glass: gated.break_glass.cloned(),
        }))
    }

    /// An erasure is a record for each segment. What is older than a time does not become more, so the approvals of one serve for
    /// all of them.
    fn goes_on(&self, index: u64, what: (&Params, &str), needed: u32) -> Result<bool, StateError> {
        let operation = self.operation(index)?;
        let is_erasure = matches!(what.0, Params::Erase { .. });
        if !is_erasure || operation.used_by.is_none() {
            return Ok(false);
        }
        check_fits(index, &operation.request, what, needed)?;
        Ok(true)
    }

    /// Whether it is the first answer once more: what was approved, by the same requester, under the same Idempotency-Key.
    fn repeats(&self, sign: &SignRecord, index: u64, params: &Params) -> bool {
        let Ok(operation) = self.operation(index) else {
            return false;
        };
        let first = operation.used_by;
        let is_later = first.is_some_and(|first| sign.retry_of.is_some_and(|of| of >= first));
        is_later && check_fits(index, &operation.request, (params, &sign.principal), 1).is_ok()
    }

    /// The first use counts; what repeats its answer is none.
    pub(super) fn use_up(&mut self, used: Use, by: u64) {
        let operation = self.operations.get_mut(&used.index);
        if let Some(operation) = operation.filter(|one| one.used_by.is_none()) {
            operation.used_by = Some(by);
            operation.break_glass = used.break_glass;
        }
    }

    pub(super) fn request(
        &mut self,
        record: &Record,
        requested: &ApprovalRequested,
    ) -> Result<(), StateError> {
        let invalid = |e: crate::approval::BadRequest| ApprovalError::Invalid(e.to_string());
        let request = Request::parse(requested.request.as_bytes()).map_err(invalid)?;
        let said = (&requested.by.principal, &requested.tenant);
        if said != (&request.requester.principal, &request.tenant) {
            let why = "the record says something else than the request in it".to_owned();
            return Err(ApprovalError::Invalid(why).into());
        }
        self.check_request(&request, record.time)?;
        let operation = Operation {
            digest: request.digest(),
            request,
            grants: Vec::new(),
            denied_by: None,
            used_by: None,
            break_glass: None,
        };
        self.forget_ended(record.time);
        self.operations.insert(record.seq, operation);
        Ok(())
    }

    pub(super) fn approve(
        &mut self,
        record: &Record,
        given: &ApprovalGiven,
    ) -> Result<(), StateError> {
        let file = ApprovalFile::verify(given.approval.as_bytes())
            .map_err(|e| ApprovalError::Invalid(e.to_string()))?;
        let tenant = &self.operation(given.request)?.request.tenant;
        let is_grant = matches!(record.event, Event::ApprovalGranted(_));
        let said = (&given.approver, given.approver_spki_sha256, &given.tenant);
        let is_said = is_grant == (file.predicate.verdict == Verdict::Granted);
        if said != (&file.predicate.approver, file.spki_sha256, tenant) || !is_said {
            let why = "the record says something else than the approval in it";
            return Err(ApprovalError::Invalid(why.to_owned()).into());
        }
        self.check_approval(given.request, &file, record.time)?;
        let unknown = ApprovalError::Unknown(given.request);
        let operation = self.operations.get_mut(&given.request).ok_or(unknown)?;
        if is_grant {
            operation.grants.push(Grant {
                approver: file.predicate.approver,
                spki_sha256: file.spki_sha256,
                expires: file.predicate.expires,
                index: record.seq,
            });
        } else {
            operation.denied_by = Some(file.predicate.approver);
        }
        Ok(())
    }

    /// Keeps room: the oldest that ended go first.
    fn forget_ended(&mut self, now: Timestamp) {
        let ended = self.operations.iter().filter(|(_, one)| !one.is_open(now));
        let ended: Vec<u64> = ended.map(|(index, _)| *index).collect();
        for index in ended.iter().rev().skip(ENDED_MAX - 1) {
            self.operations.remove(index);
        }
    }

    fn gated<'e>(&self, event: &'e Event, now: Timestamp) -> Result<Option<Gated<'e>>, StateError> {
        let of_log = |params: Params, by: &'e str, warrant: &'e Warrant| Gated {
            params,
            by,
            approval: warrant.approval,
            break_glass: warrant.break_glass.as_ref(),
            needed: self.approvals_required(),
        };
        let gated = match event {
            Event::KeyGenerateIntent(intent) => of_log(
                Params::Generate {
                    key: intent.key.clone(),
                    token: intent.token.clone(),
                    uri: intent.uri.clone(),
                    scheme: intent.scheme,
                    rsa_bits: intent.rsa_bits,
                },
                &intent.by.principal,
                &intent.warrant,
            ),
            Event::KeyChanged(changed) => {
                let params = match changed.event {
                    KeyEvent::Activate => Params::Activate(self.signing_key(&changed.key)?),
                    // What was begun was approved when it was.
                    KeyEvent::Destroy if self.is_being_destroyed(&changed.key) => return Ok(None),
                    KeyEvent::Destroy => Params::Destroy(self.signing_key(&changed.key)?),
                    _ => return Ok(None),
                };
                of_log(params, &changed.by.principal, &changed.warrant)
            }
            Event::KeyDestroyIntent(intent) => of_log(
                Params::Destroy(self.signing_key(&intent.key)?),
                &intent.by.principal,
                &intent.warrant,
            ),
            // What was put off was approved when it was.
            Event::KeyRotated(rotated) if self.is_scheduled(rotated, now) => return Ok(None),
            Event::KeyRotated(rotated) => {
                let from = self.signing_key(&rotated.from)?;
                let to = self.signing_key(&rotated.to)?;
                let params = Params::Rotate { from, to };
                of_log(params, &rotated.by.principal, &rotated.warrant)
            }
            Event::RotationScheduled(scheduled) => {
                let params = Params::ScheduleRotation {
                    from: self.signing_key(&scheduled.from)?,
                    to: self.signing_key(&scheduled.to)?,
                    at: scheduled.at,
                };
                of_log(params, &scheduled.by.principal, &scheduled.warrant)
            }
            Event::KeyCompromised(compromised) => of_log(
                Params::Compromise {
                    key: self.signing_key(&compromised.key)?,
                    effective_time: compromised.effective_time,
                    reason: compromised.reason.clone(),
                },
                &compromised.by.principal,
                &compromised.warrant,
            ),
            Event::PolicyActivated(activated) if Some(activated.digest) != self.policy_digest => {
                let digest = activated.digest;
                let by = activated.by.as_ref().map_or("", |by| &by.principal);
                of_log(Params::Policy { digest }, by, &activated.warrant)
            }
            Event::FreezeLifted(lifted) => of_log(
                Params::Thaw {
                    scope: lifted.scope.clone(),
                },
                &lifted.by.principal,
                &lifted.warrant,
            ),
            Event::ClockAccepted(accepted) => of_log(
                Params::AcceptClock {
                    expected: self.clock_expected(),
                    reason: accepted.reason.clone(),
                },
                &accepted.by.principal,
                &accepted.warrant,
            ),
            Event::AuditErased(erased) => of_log(
                Params::Erase {
                    of: erased.tenant.clone(),
                    before: erased.before,
                    reason: erased.reason.clone(),
                },
                &erased.by.principal,
                &erased.warrant,
            ),
            Event::Sign(sign) => return Ok(self.gated_signature(sign)),
            _ => return Ok(None),
        };
        Ok(Some(gated))
    }

    fn is_being_destroyed(&self, key: &KeyVersionId) -> bool {
        self.version(key)
            .is_some_and(|version| version.destroy_intent.is_some())
    }

    fn is_scheduled(&self, rotated: &KeyRotated, now: Timestamp) -> bool {
        self.schedule_of(&rotated.from.key).is_some_and(|schedule| {
            let ahead = &schedule.rotation;
            (&ahead.from, &ahead.to) == (&rotated.from, &rotated.to) && ahead.at <= now
        })
    }

    /// How many approvals a signature needs is the policy's word, which the writer asked: here it is what was asked for.
    fn gated_signature<'e>(&self, sign: &'e SignRecord) -> Option<Gated<'e>> {
        let approval = sign.approval?;
        if sign.outcome != Outcome::Signed {
            return None;
        }
        Some(Gated {
            params: sign_params(sign)?,
            by: &sign.principal,
            approval: Some(approval),
            break_glass: None,
            needed: 1,
        })
    }

    /// A version with its fingerprint, as requests name it.
    pub fn signing_key(&self, id: &KeyVersionId) -> Result<SigningKey, StateError> {
        let version = self
            .version(id)
            .ok_or_else(|| StateError::UnknownVersion(id.clone()))?;
        Ok(SigningKey {
            key: id.clone(),
            spki_sha256: version.enrolment.spki.sha256(),
        })
    }
}

/// What approvals of a signature are for; `None` while no key and payload are known.
pub fn sign_params(sign: &SignRecord) -> Option<Params> {
    let first = SigningKey {
        key: sign.key.as_ref()?.version(sign.key_version?),
        spki_sha256: sign.spki_sha256?,
    };
    let further = sign.further_keys.iter().map(|used| SigningKey {
        key: used.key.version(used.key_version),
        spki_sha256: used.spki_sha256,
    });
    Some(Params::Sign {
        keys: std::iter::once(first).chain(further).collect(),
        payload_type: sign.payload_type.clone()?,
        payload_sha256: sign.payload_sha256?,
        pae_sha256: sign.pae_sha256?,
    })
}

fn check_fits(
    index: u64,
    request: &Request,
    (params, principal): (&Params, &str),
    needed: u32,
) -> Result<(), ApprovalError> {
    let what = match () {
        () if request.params.action() != params.action() => "the action",
        () if request.params != *params => "what it is done to",
        () if request.requester.principal != principal => "who does it",
        () if request.approvals < needed => "the number of approvals that is needed",
        () => return Ok(()),
    };
    Err(ApprovalError::Mismatch { index, what })
}

/// Whether what was asked for can still be done.
fn check_not_ended(index: u64, operation: &Operation, now: Timestamp) -> Result<(), ApprovalError> {
    match operation.status(now) {
        Status::Waiting | Status::Ready => Ok(()),
        Status::Used | Status::Owed => Err(ApprovalError::Used {
            index,
            by: operation.used_by.unwrap_or_default(),
        }),
        Status::Denied => Err(ApprovalError::Denied {
            index,
            approver: operation.denied_by.clone().unwrap_or_default(),
        }),
        Status::Expired => Err(ApprovalError::Expired {
            index,
            expires_at: operation.request.expires_at,
        }),
    }
}
