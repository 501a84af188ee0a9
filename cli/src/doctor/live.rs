//! The way to a running daemon, walked with the caller's own certificate.

use std::time::SystemTime;

use sealwright_client::{ClientError, FreezeStatus, RotationAhead, Status, TokenStatus};
use sealwright_core::error::Code;
use sealwright_core::rotation::Urgency;

use super::Finding;
use crate::certificate::{self, Validity};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::rotation;

pub(super) fn examine(connection: Connection) -> Vec<Finding> {
    let settings = match connection.clone().settings() {
        Ok(settings) => settings,
        Err(error) => {
            let next = "set all of SEALWRIGHT_CERT, SEALWRIGHT_KEY and SEALWRIGHT_CA, or none";
            return vec![Finding::new("client.settings", "environment", error, next)];
        }
    };
    // An unreadable certificate is what connecting finds.
    let facts = certificate::read_first(&settings.cert).ok();
    let now = SystemTime::now();
    let next =
        "get another certificate from the site's CA, see docs/runbooks/certificates-expired.md";
    let about = |id, problem| Finding::about_path(id, &settings.cert, problem, next);
    if facts
        .as_ref()
        .is_some_and(|facts| facts.validity(now) == Validity::Expired)
    {
        return vec![about(
            "client.certificate-expired",
            "has expired".to_owned(),
        )];
    }
    let soon = facts.and_then(|facts| facts.days_left_if_soon(now));
    let soon = soon.map(|days| {
        about(
            "client.certificate-expires-soon",
            format!("expires in {days} days"),
        )
    });
    match connection.run(async |mut client| client.status().await) {
        Ok(status) => soon.into_iter().chain(running(&status)).collect(),
        Err(Failure::Client(error)) => vec![refused(&error)],
        Err(other) => vec![Finding::new(
            "daemon.unreachable",
            "daemon",
            other,
            "see the message",
        )],
    }
}

fn refused(error: &ClientError) -> Finding {
    let (id, next) = match error {
        ClientError::Pem { .. } => (
            "client.unreadable",
            "correct the path, or make the file readable for this user",
        ),
        ClientError::Server { .. } => (
            "client.wrong-ca",
            "set SEALWRIGHT_CA to the CA that issued the daemon's certificate",
        ),
        ClientError::Certificate { .. } => (
            "client.certificate-refused",
            "use a certificate under the CA of a [[domain]]",
        ),
        ClientError::Api(refusal) if refusal.known_code() == Some(Code::CertificateRefused) => (
            "client.certificate-refused",
            "use another certificate: one URI name, not expired, not on the domain's deny list",
        ),
        ClientError::Api(refusal) if matches!(refusal.status, 401 | 403) => (
            "client.unknown-principal",
            "add a [[principal]] with the certificate's URI name to sealwright.toml",
        ),
        _ => (
            "daemon.unreachable",
            "start sealwrightd, and check that this user may use its socket",
        ),
    };
    Finding::new(id, "daemon", error, next)
}

fn running(status: &Status) -> Vec<Finding> {
    let mut findings: Vec<Finding> = status.tokens.iter().flat_map(token).collect();
    findings.extend(status.freezes.iter().map(frozen));
    findings.extend(status.clock.iter().map(|doubt| doubted(doubt)));
    findings.extend(dual_control(status));
    findings.extend(status.rotations.iter().flat_map(to_rotate));
    findings.extend(callers(status));
    if status.log.state != "ok" {
        let state = &status.log.state;
        let known = Code::ALL.iter().find(|code| code.as_str() == state);
        let problem = known.map_or(state.as_str(), |code| code.title());
        let next = "do as the message says; the daemon's own log tells more";
        findings.push(Finding::new(
            "log.refuses-work",
            &status.origin,
            problem,
            next,
        ));
    }
    findings
}

fn dual_control(status: &Status) -> Vec<Finding> {
    let mut findings = Vec::new();
    if status.approvals.owed > 0 {
        let problem = format!(
            "{} operations were done by break-glass and nobody has approved them",
            status.approvals.owed
        );
        let next = "`sealwright approve list` names them, `sealwright approve grant` approves";
        findings.push(Finding::new(
            "approvals.owed",
            "dual control",
            problem,
            next,
        ));
    }
    if let Some(digest) = status.policy_waiting {
        let problem = format!("the file sha256:{digest} decides nothing before it is approved");
        let next = "`sealwright policy activate` asks for approvals";
        findings.push(Finding::new("policy.waiting", "policy", problem, next));
    }
    findings
}

fn doubted(doubt: &str) -> Finding {
    let next = "set the clock right, or `sealwright clock accept`; docs/runbooks/audit.md";
    Finding::new("clock.in-doubt", "clock".to_owned(), doubt, next)
}

/// The daemon's own files are found where they lie, also while it does not run.
fn callers(status: &Status) -> impl Iterator<Item = Finding> {
    let callers = status
        .certificates
        .iter()
        .filter(|one| one.kind == "caller");
    callers.map(|caller| {
        let problem = format!("its certificate runs out at {}", caller.not_after);
        let next =
            "issue another one from the site's CA, see docs/runbooks/certificates-expired.md";
        Finding::new(
            "caller.certificate-expires-soon",
            &caller.name,
            problem,
            next,
        )
    })
}

fn frozen(freeze: &FreezeStatus) -> Finding {
    let problem = format!("is frozen since {}, record {}", freeze.since, freeze.record);
    let next = "follow docs/runbooks/freeze.md; `sealwright thaw` ends it";
    Finding::new("freeze.in-force", freeze.scope.to_string(), problem, next)
}

fn to_rotate(ahead: &RotationAhead) -> Vec<Finding> {
    let key = ahead.key.to_string();
    let due = ahead.rotation_due.as_ref().map(|due| {
        let id = match due.urgency {
            Urgency::Due => "key.rotation-due",
            Urgency::Soon => "key.rotation-soon",
        };
        let problem = format!("its rotation is {}", rotation::due(due));
        let next =
            "follow docs/runbooks/rotate-a-key.md, or change its [[rotation]] in sealwright.toml";
        Finding::new(id, key.clone(), problem, next)
    });
    let scheduled = ahead.rotation_scheduled.as_ref();
    let overdue = scheduled.filter(|scheduled| scheduled.problem.is_some());
    let overdue = overdue.map(|scheduled| {
        let problem = rotation::scheduled(scheduled);
        let next =
            "do as the message says; the daemon tries again, `keys rotate --cancel` ends that";
        Finding::new("key.rotation-overdue", key.clone(), problem, next)
    });
    due.into_iter().chain(overdue).collect()
}

fn token(token: &TokenStatus) -> Vec<Finding> {
    let subject = format!("token {}", token.name);
    let mut findings = Vec::new();
    if token.state == "out-of-service" {
        let reason = token.reason.as_deref().unwrap_or("out of service");
        findings.push(Finding::new(
            "token.out-of-service",
            &subject,
            reason,
            "do as the message says; the daemon tries again by itself",
        ));
    }
    if token.suspect {
        let problem = "returned something that did not verify";
        let next = format!(
            "find out why, then `sealwright token clear {} --reason …`",
            token.name
        );
        findings.push(Finding::new("token.suspect", subject, problem, next));
    }
    findings
}
