//! What `verify` tells people.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Verified;
use super::signers::{Judged, Judgement};
use super::trust::PublishedBy;
use crate::proof::Recorded;

pub(super) fn text(file: &Path, verified: &Verified) -> String {
    let what = if verified.verified {
        "verified"
    } else {
        "signed, but not to be relied on"
    };
    let mut lines = vec![format!("{}: {what}, {}", file.display(), verified.format)];
    if let Some(payload_type) = &verified.payload_type {
        lines.push(line("payload", payload_type));
    }
    if let Some(predicate_type) = &verified.predicate_type {
        lines.push(line("predicate", predicate_type));
    }
    if let Some(subjects) = verified.subjects {
        lines.push(line("subjects", &subjects.to_string()));
    }
    for spki in &verified.signers {
        let keyid = STANDARD.encode(spki.0);
        lines.push(line("signed by", &format!("{spki} (keyid {keyid})")));
    }
    lines.extend(verified.judgement.iter().flat_map(of_judgement));
    for path in &verified.artifacts {
        lines.push(line("artifact", &path.display().to_string()));
    }
    let stamped = verified.stamped;
    lines.extend(stamped.map(|time| line("stamped", &format!("by {time}"))));
    lines.extend(verified.recorded.iter().flat_map(of_record));
    lines.join("\n")
}

fn line(name: &str, value: &str) -> String {
    format!("  {name:<10} {value}")
}

fn of_judgement(judgement: &Judgement) -> Vec<String> {
    let Judgement {
        verdict,
        judged,
        trust_time,
        trust,
    } = judgement;
    let why = format!("{}: {}", verdict.as_str(), verdict.reason());
    let mut lines = vec![line("verdict", &why)];
    for Judged { key, verdict } in judged {
        lines.push(line("key", &format!("{key}: {}", verdict.as_str())));
    }
    lines.push(line("known", &format!("what was decided by {trust_time}")));
    lines.extend(trust.iter().map(|published| {
        let PublishedBy { serial, signed_by } = published;
        line(
            "trusting",
            &format!("document {serial}, signed by {signed_by}"),
        )
    }));
    lines
}

fn of_record(recorded: &Recorded) -> Vec<String> {
    let Recorded {
        index,
        origin,
        time,
        principal,
        cosigners,
        witnessed,
        ..
    } = recorded;
    let record = format!("{origin} record {index}, {time}, for {principal}");
    let mut lines = vec![line("recorded", &record)];
    lines.extend(cosigners.iter().map(|name| line("witness", name)));
    lines.extend(witnessed.map(|time| line("witnessed", &format!("by {time}"))));
    lines
}
