//! What a witness shows for its claim that it has seen another log under our name.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::tlog::{Checkpoint, Note, VerifierKey};

use crate::config::Witness;
use crate::http;
use crate::submit::append;

/// The checkpoint that `witness` stores of our log, if our log's key signed it: then the claim is no lie.
pub(crate) async fn stored_checkpoint(
    witness: &Witness,
    log: &VerifierKey,
) -> Option<(String, Checkpoint)> {
    let id = Sha256Digest::of(&[log.name().as_bytes()]);
    let url = append(&witness.monitoring, &format!("{id}/checkpoint"));
    let request = Request::get(url).body(Full::<Bytes>::default()).ok()?;
    let answer = http::send(request, &witness.tls, witness.timeout)
        .await
        .ok()?;
    let text = String::from_utf8(answer.body.into()).ok()?;
    let note = Note::parse(&text).ok().filter(|_| answer.status == 200)?;
    note.verify([log]).ok()?;
    let checkpoint: Checkpoint = note.text().parse().ok()?;
    (checkpoint.origin() == log.name()).then_some((text, checkpoint))
}
