//! Requests in plain words: everything that the digest covers.

use sealwright_client::Operation;
use sealwright_core::approval::{Params, Request, SigningKey};
use sealwright_core::state::approvals::Status;

/// One line per thing that matters.
pub(super) fn request(request: &Request) -> String {
    let mut rows = vec![("asks", request.requester.principal.clone())];
    rows.extend(params(&request.params));
    rows.extend([
        ("tenant", request.tenant.to_string()),
        ("log", request.log.clone()),
        ("made at", request.made_at.to_string()),
        ("expires", request.expires_at.to_string()),
        ("approvals", format!("{} are needed", request.approvals)),
        ("asker's key", request.requester.spki_sha256.to_string()),
        ("nonce", request.nonce.clone()),
        ("SHA-256", request.digest().to_string()),
    ]);
    lines(&rows)
}

/// How far it is.
pub(super) fn progress(operation: &Operation) -> String {
    let mut rows = vec![("status", status(operation.status).to_owned())];
    let granted = operation.granted.iter();
    rows.extend(granted.map(|grant| ("granted by", grant.approver.clone())));
    rows.extend(
        operation
            .denied_by
            .iter()
            .map(|who| ("denied by", who.clone())),
    );
    rows.extend(
        operation
            .break_glass
            .iter()
            .map(|why| ("broke glass", why.clone())),
    );
    rows.extend(
        operation
            .used_by
            .iter()
            .map(|record| ("done in", format!("record {record}"))),
    );
    lines(&rows)
}

/// In one or two words.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Ready => "approved",
        Status::Used => "done",
        Status::Owed => "DONE, NOT APPROVED",
        Status::Denied => "denied",
        Status::Expired => "expired",
    }
}

fn params(params: &Params) -> Vec<(&'static str, String)> {
    match params {
        Params::Generate {
            key,
            token,
            uri,
            scheme,
            rsa_bits,
        } => {
            let bits = rsa_bits.map_or_else(String::new, |bits| format!(", {bits} bits"));
            vec![
                ("to make", format!("the key {key}")),
                ("on token", format!("{token}, {uri}")),
                ("scheme", format!("{scheme}{bits}")),
            ]
        }
        Params::Activate(key) => with_key("to activate", key),
        Params::Destroy(key) => with_key("to DESTROY", key),
        Params::Rotate { from, to } => [with_key("to replace", from), with_key("by", to)].concat(),
        Params::ScheduleRotation { from, to, at } => {
            let mut rows = [with_key("to replace", from), with_key("by", to)].concat();
            rows.push(("not before", at.to_string()));
            rows
        }
        Params::Compromise {
            key,
            effective_time,
            reason,
        } => {
            let mut rows = with_key("to REVOKE", key);
            rows.push(("effective", effective_time.to_string()));
            rows.push(("because", reason.clone()));
            rows
        }
        Params::Policy { digest } => {
            vec![("to activate", format!("the policy with SHA-256 {digest}"))]
        }
        Params::Thaw { scope } => vec![("to thaw", scope.to_string())],
        Params::AcceptClock { expected, reason } => {
            let expected = expected.map_or_else(String::new, |time| time.to_string());
            vec![
                ("to believe", "the host's clock".to_owned()),
                ("it should be", expected),
                ("because", reason.clone()),
            ]
        }
        Params::Erase { of, before, reason } => vec![
            ("to ERASE", format!("records of tenant {of}")),
            ("before", before.to_string()),
            ("because", reason.clone()),
        ],
        Params::Sign {
            keys,
            payload_type,
            payload_sha256,
            pae_sha256,
        } => {
            let mut rows = vec![
                (
                    "to sign",
                    format!("a payload with SHA-256 {payload_sha256}"),
                ),
                ("of type", payload_type.clone()),
            ];
            rows.extend(keys.iter().flat_map(|key| with_key("with", key)));
            rows.push(("PAE SHA-256", pae_sha256.to_string()));
            rows
        }
    }
}

fn with_key(what: &'static str, key: &SigningKey) -> Vec<(&'static str, String)> {
    vec![
        (what, key.key.to_string()),
        ("  SPKI", key.spki_sha256.to_string()),
    ]
}

/// Texts of others cannot pass for lines of ours.
fn lines(rows: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| {
        let value: String = value
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        format!("{name:<12} {value}\n")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_with_line_breaks_cannot_pass_for_another_line() {
        let text = lines(&[("because", "lost\nSHA-256      00".to_owned())]);
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
