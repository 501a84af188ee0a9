//! What a client is told: a stable code, an HTTP status and a title. The reason stays in log and record.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// A stable error code (RFC 9457 `code` member). The list only ever grows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// Every code, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as clients see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status it comes with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// One line for people, saying what to do next.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }
    };
}

codes! {
    /// A parameter or header cannot be understood.
    InvalidRequest = "invalid_request", 400, "The request is malformed; see detail";
    /// The body is not the JSON that was asked for.
    InvalidJson = "invalid_json", 400, "The body is not acceptable JSON; see detail";
    /// A member name twice in one object.
    DuplicateKey = "duplicate_key", 400, "A key stands twice in one JSON object; readers would disagree about it";
    /// Arrays and objects in one another, too many.
    NestedTooDeeply = "nested_too_deeply", 400, "The JSON is nested too deeply; see detail";
    /// Half of a surrogate pair in a string.
    LoneSurrogate = "lone_surrogate", 400, "A string of the JSON has half a surrogate pair, which is no character";
    /// NaN or Infinity.
    NotANumber = "not_a_number", 400, "JSON has no NaN and no Infinity; leave the member out";
    /// A number that its canonical form cannot hold.
    NumberOutOfRange = "number_out_of_range", 422, "A number is out of range of the canonical form; carry it as a string";
    /// Not the form of a CVSS vector.
    CvssMalformed = "cvss_malformed", 422, "This is no CVSS vector; see detail";
    /// A metric that the standard does not have.
    CvssUnknownMetric = "cvss_unknown_metric", 422, "The CVSS vector has a metric that does not exist; see detail";
    /// A value that the metric does not have.
    CvssUnknownValue = "cvss_unknown_value", 422, "A metric of the CVSS vector has a value that does not exist; see detail";
    /// Metric or value in another case.
    CvssCase = "cvss_case", 422, "CVSS vectors are written in the standard's upper case; see detail";
    /// A metric twice.
    CvssMetricRepeated = "cvss_metric_repeated", 422, "A metric stands twice in the CVSS vector";
    /// Metrics in another order than the standard's.
    CvssMetricOrder = "cvss_metric_order", 422, "The metrics of a CVSS v4.0 vector stand in the standard's order; see detail";
    /// A base metric that is not there.
    CvssMetricMissing = "cvss_metric_missing", 422, "A base metric is missing in the CVSS vector; see detail";
    /// The document is no request for a receipt.
    InvalidReceipt = "invalid_receipt", 422, "The receipt is not acceptable; see detail";
    /// No such type of receipt, or not in this version.
    UnknownReceiptType = "unknown_receipt_type", 422, "There is no receipt of this type; docs/receipts.md lists them";
    /// No such canonical form.
    UnknownCanonicalization = "unknown_canonicalization", 422, "There is no such canonical form; docs/receipts.md lists them";
    /// The tenant has no such receipt.
    UnknownReceipt = "unknown_receipt", 404, "There is no such receipt that you may read";
    /// A receipt that names itself.
    ReceiptFollowsItself = "receipt_follows_itself", 422, "A receipt cannot follow itself";
    /// Another receipt follows it already.
    ReceiptFollowed = "receipt_followed", 409, "Another receipt follows this one already; follow the newest one, see detail";
    /// A second beginning for the same thing.
    ReceiptExists = "receipt_exists", 409, "There is a receipt about this already; supersede or amend it, see detail";
    /// A chain has one type and one subject.
    ReceiptOtherSubject = "receipt_other_subject", 422, "The receipt that was named is about something else";
    /// No further receipt.
    ReceiptsFull = "receipts_full", 409, "The tenant has as many receipts as one log holds";
    /// No such endpoint.
    UnknownEndpoint = "unknown_endpoint", 404, "There is no such endpoint; the API description is docs/api/openapi.json";
    /// The endpoint exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "The endpoint does not take this method";
    /// No such key for this tenant.
    UnknownKey = "unknown_key", 404, "No key of this name; `sealwright keys` lists those you may see";
    /// No such record.
    UnknownRecord = "unknown_record", 404, "No record with this index that you may read";
    /// No such token.
    UnknownToken = "unknown_token", 404, "No token of this name is configured";
    /// The caller is not in the directory, or policy does not allow it.
    Denied = "denied", 403, "Not allowed; give the request id to an operator to learn why";
    /// The policy wants a bound access token.
    TokenRequired = "token_required", 401, "The policy demands an access token that is bound to its holder; WWW-Authenticate says of which kind";
    /// An access token that does not count, or not in these hands.
    InvalidToken = "invalid_token", 401, "The access token is not accepted; see detail";
    /// A proof that proves nothing.
    InvalidDpopProof = "invalid_dpop_proof", 401, "The DPoP proof is not accepted; see detail";
    /// A proof without the daemon's newest nonce.
    UseDpopNonce = "use_dpop_nonce", 401, "The DPoP proof needs the nonce in the DPoP-Nonce header; make another one";
    /// More proofs of one key than are remembered.
    TooManyProofs = "too_many_proofs", 429, "Too many DPoP proofs of one key at once; make fewer, or wait until the replay window has passed";
    /// Nobody can say whether a proof was used before.
    TokenCheckUnavailable = "token_check_unavailable", 503, "Access tokens cannot be checked now; try again shortly with another proof";
    /// The policy allows it once others have approved it.
    ApprovalRequired = "approval_required", 403, "The policy demands that others approve this first; nothing was done";
    /// A payload type the key does not sign.
    UnsupportedPayloadType = "unsupported_payload_type", 415, "The key does not sign this payload type";
    /// The statement breaks a rule of in-toto or of its predicate.
    InvalidStatement = "invalid_statement", 422, "The statement is not acceptable; see detail";
    /// A predicate type that neither the program nor the policy knows.
    UnsupportedPredicateType = "unsupported_predicate_type", 422, "This predicate type is signed only where the policy names it; docs/predicates.md lists those that are known";
    /// The certificate is valid but names nobody, or is not to be used any more.
    CertificateRefused = "certificate_refused", 403, "The client certificate cannot be used; see detail";
    /// The body is larger than the limit.
    PayloadTooLarge = "payload_too_large", 413, "The body is larger than the daemon's limit";
    /// The message is larger than what the key's device takes whole.
    MessageTooLarge = "message_too_large", 413, "This key signs whole messages only up to its limit; use a key with a prehash scheme such as ecdsa-p256-sha256";
    /// A FIDO2 key's signature in a Sigstore bundle.
    SchemeNotInBundles = "scheme_not_in_bundles", 422, "The key's signatures are accepted by no Sigstore client; take format=dsse";
    /// The body arrived too slowly.
    BodyTimeout = "body_timeout", 408, "The body did not arrive in time";
    /// The daemon's memory for bodies is in use.
    BodyBudget = "body_budget", 503, "Too many large bodies at once; try again shortly";
    /// The key exists but does not sign now.
    KeyNotActive = "key_not_active", 409, "The key is not active";
    /// A tenant would have no key left.
    LastKey = "last_key", 409, "It is the last key of its tenant; enrol another one before it is destroyed";
    /// A key that stopped signing not long ago.
    KeyRetentionNotOver = "key_retention_not_over", 409, "A key is kept for longer after its last signature; see detail for the time";
    /// Its tenant, or everything, is frozen.
    Frozen = "frozen", 409, "Signing is frozen by an operator; `sealwright status` shows since when, docs/runbooks/freeze.md how it ends";
    /// A freeze of what is frozen.
    AlreadyFrozen = "already_frozen", 409, "It is frozen already";
    /// The end of a freeze that is not.
    NotFrozen = "not_frozen", 409, "It is not frozen; `sealwright status` shows what is";
    /// The host's clock went somewhere that it cannot have come to by itself.
    ClockInDoubt = "clock_in_doubt", 409, "The host's clock cannot be believed, and this depends on the time; see `sealwright status` and docs/runbooks/audit.md";
    /// A clock that nobody doubts.
    ClockNotInDoubt = "clock_not_in_doubt", 409, "Nobody doubts the host's clock";
    /// A name that is signed once has been signed with other digests.
    AlreadyReleased = "already_released", 409, "A subject of this name was signed with other digests, and this key signs each name once; see detail";
    /// No further name can be reserved.
    ReservationsFull = "reservations_full", 409, "The key signs each name once and has no room for new names; sign them with another key";
    /// The key changed between permission and record.
    Discarded = "discarded", 409, "The key changed while the request was in flight; the signature was thrown away, try again";
    /// Too many requests wait for this token.
    TokenBusy = "token_busy", 503, "The token's queue is full; try again shortly";
    /// The token cannot be reached.
    TokenUnavailable = "token_unavailable", 503, "The token is out of service; `sealwright doctor` names the cause";
    /// The deadline passed before the token answered.
    DeadlineExceeded = "deadline_exceeded", 504, "The deadline passed before the request reached the token; nothing was signed";
    /// The driver was lost after it got the request.
    OutcomeUnknown = "outcome_unknown", 504, "The driver was lost while signing; nothing was released, retry with the same Idempotency-Key";
    /// The device's answer does not verify.
    SignatureRejected = "signature_rejected", 502, "The token returned a signature that does not verify; it was not released and the token is marked suspect";
    /// The evidence leads to nobody who is trusted.
    EvidenceUntrusted = "evidence_untrusted", 409, "The device's maker is not trusted here, so its evidence proves nothing; name the maker's certificates under [evidence] roots";
    /// The device's evidence does not verify.
    EvidenceRejected = "evidence_rejected", 502, "The token returned evidence that does not verify; nothing was recorded and the token is marked suspect";
    /// The idempotency key was used for something else.
    IdempotencyConflict = "idempotency_conflict", 409, "This Idempotency-Key belongs to a different request";
    /// The same request is being worked on.
    IdempotencyInFlight = "idempotency_in_flight", 409, "A request with this Idempotency-Key is in flight; try again shortly";
    /// No space left for records.
    LogFull = "log_full", 507, "The audit log has no space left; nothing was signed, free space on the state directory";
    /// The log failed to sync.
    LogPoisoned = "log_poisoned", 503, "The audit log failed to sync and takes no records; restart sealwrightd after checking the disk";
    /// No checkpoint for too long.
    CheckpointLag = "checkpoint_lag", 503, "The log token has signed no checkpoint for too long; bring it back, `sealwright status` names it";
    /// No checkpoint of this size is kept.
    UnknownCheckpoint = "unknown_checkpoint", 404, "There is no checkpoint of this size; ask for the newest one";
    /// A line that is no good cosignature of a configured witness.
    CosignatureRejected = "cosignature_rejected", 422, "A cosignature does not verify; nothing was stored, see detail";
    /// The witnesses' quorum is too old.
    AnchorStale = "anchor_stale", 503, "The witnesses have not vouched for the log for too long; `sealwright status` shows each of them, docs/runbooks/witnesses.md what to do";
    /// A proof that was waited for has no quorum of witnesses yet.
    NotWitnessed = "not_witnessed", 503, "Too few witnesses have cosigned a checkpoint that covers this record; ask again, docs/runbooks/witnesses.md says what may be wrong";
    /// A legal hold.
    OnHold = "on_hold", 409, "The tenant is on hold: nothing of it is erased; `sealwright audit hold list` names the hold";
    /// Younger than the configured retention.
    RetentionNotOver = "retention_not_over", 409, "These records are kept for longer; `sealwright audit retention` says which are due";
    /// The record's body is not on this host.
    RecordArchived = "record_archived", 410, "The record's body lies in the archive; see detail for the file";
    /// Audit queries are not answered now.
    IndexRebuilding = "index_rebuilding", 503, "The audit index is being rebuilt from the journal; try again shortly";
    /// Some approvals are missing.
    ApprovalIncomplete = "approval_incomplete", 409, "Approvals are missing; `sealwright approve show` says how many";
    /// Request or approval ran out.
    ApprovalExpired = "approval_expired", 409, "The request or the approval ran out; ask again";
    /// An approver said no.
    ApprovalDenied = "approval_denied", 403, "An approver denied the request";
    /// The approvals served once.
    ApprovalUsed = "approval_used", 409, "The approvals of this request were used already; ask again";
    /// The approvals are for something else.
    ApprovalMismatch = "approval_mismatch", 409, "The approvals are for another request; see detail";
    /// The approver asked for it himself.
    ApproverIsRequester = "approver_is_requester", 403, "Nobody approves a request that he or his key made; another approver has to look at it";
    /// Somebody else signed it.
    NotAnApprover = "not_an_approver", 403, "Whoever signed this is not an approver of this log";
    /// The same approver or key once more.
    ApprovalRepeated = "approval_repeated", 409, "This approver, or the key that signed, has spoken on the request already";
    /// The approval file is no good.
    ApprovalInvalid = "approval_invalid", 422, "The approval does not verify; see detail";
    /// No such request for approvals.
    UnknownOperation = "unknown_operation", 404, "No such operation; `sealwright approve list` shows those that are open";
    /// Too many requests for approvals.
    TooManyOperations = "too_many_operations", 429, "Too many requests wait for approvals; grant or deny some, or let them run out";
    /// The daemon is going down.
    ShuttingDown = "shutting_down", 503, "The daemon is stopping; try again shortly";
    /// Anything unforeseen.
    Internal = "internal", 500, "Internal error; the log has the reason under the request id";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_have_error_statuses() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} stands twice");
            assert!((400..600).contains(&code.status()), "{code}");
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
    }
}
