//! Runs the vectors of witnesses (C2SP `tlog-witness`); see `support` for how they are found.

mod support;

use std::collections::HashMap;
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use sealwright_core::tlog::add_checkpoint::{AddCheckpoint, Seen, WitnessRefusal};
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Note, VerifierKey, cosignature};
use serde::Deserialize;
use support::Tally;

#[test]
fn tlog_witness() {
    let Some(dir) = support::folder("tlog-witness") else {
        return;
    };
    let mut tally = Tally::new("tlog-witness");
    let files = ["generated-steps.json", "litewitness-steps.json"];
    tally.only(&dir, &files);
    run_file(&mut tally, &dir, files[0]);
    if dir.join(files[1]).is_file() {
        run_file(&mut tally, &dir, files[1]);
    }
    tally.finish();
}

fn run_file(tally: &mut Tally, dir: &Path, file: &str) {
    let steps: Steps = support::json(&dir.join(file));
    assert!(
        steps.stateful_in_order,
        "{file}: only steps in order are known"
    );
    assert!(!steps.steps.is_empty(), "{file} has no steps");
    let mut witness = Witness::new(&steps.log_vkey);
    for step in &steps.steps {
        tally.case(format!("{file}/{}", step.name), witness.run(step));
    }
}

/// `tlog-witness/*-steps.json`
#[derive(Deserialize)]
struct Steps {
    log_vkey: String,
    stateful_in_order: bool,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    request_body: String,
    status: u16,
    content_type: Option<String>,
    response: Response,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Response {
    CosignatureLines,
    Exact { body: String },
    Any,
}

/// A witness without its files and sockets.
struct Witness {
    log: VerifierKey,
    seen: HashMap<String, Seen>,
    key: SigningKey,
    public: VerifierKey,
}

struct Answer {
    status: u16,
    media_type: &'static str,
    body: String,
}

impl Witness {
    fn new(log: &str) -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key();
        let public = VerifierKey::new("witness", KeyType::CosignatureV1, public.as_bytes());
        Self {
            log: log.parse().expect("log_vkey is a verifier key"),
            seen: HashMap::new(),
            key,
            public: public.expect("a good key"),
        }
    }

    fn run(&mut self, step: &Step) -> Result<(), String> {
        let answer = self.answer(&step.request_body);
        if answer.status != step.status {
            return Err(format!(
                "must be {}, is {}: {}",
                step.status, answer.status, answer.body
            ));
        }
        if let Some(expected) = &step.content_type
            && answer.media_type != expected
        {
            return Err(format!(
                "content type must be {expected}, is {}",
                answer.media_type
            ));
        }
        match &step.response {
            Response::Any => Ok(()),
            Response::Exact { body } if *body == answer.body => Ok(()),
            Response::Exact { body } => Err(format!("must be {body:?}, is {:?}", answer.body)),
            Response::CosignatureLines => self.verify(step, &answer.body),
        }
    }

    fn answer(&mut self, body: &str) -> Answer {
        match self.cosign(body) {
            Ok(body) => Answer {
                status: 200,
                media_type: "text/plain; charset=utf-8",
                body,
            },
            Err(refusal) => Answer {
                status: refusal.status(),
                media_type: refusal.media_type(),
                body: format!("{refusal}\n"),
            },
        }
    }

    fn cosign(&mut self, body: &str) -> Result<String, WitnessRefusal> {
        let request: AddCheckpoint = body.parse()?;
        let origin = request.checkpoint().origin();
        let known = origin == self.log.name();
        let keys = if known {
            std::slice::from_ref(&self.log)
        } else {
            &[]
        };
        let new = request.judge(keys, self.seen.get(origin))?;
        self.seen.insert(origin.to_owned(), new);
        let message = cosignature::message(1, request.note().text());
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        let signature = cosignature::encode(1, &signature);
        let line = NoteSignature::new("witness", self.public.id(), signature);
        Ok(line.expect("a good name").to_string())
    }

    fn verify(&self, step: &Step, body: &str) -> Result<(), String> {
        let request: AddCheckpoint = step.request_body.parse().map_err(text_of)?;
        let lines = NoteSignature::parse_lines(body).map_err(text_of)?;
        let note = Note::new(request.note().text().to_owned(), lines).map_err(text_of)?;
        note.verify([&self.public]).map(drop).map_err(text_of)
    }
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}
