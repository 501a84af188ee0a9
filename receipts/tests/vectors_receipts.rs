//! Runs the vectors of receipts: canonical numbers and documents, CVSS scores and conversion; see `support` for how they
//! are found.
#![allow(clippy::unwrap_used)]

#[path = "../../core/tests/support/mod.rs"]
mod support;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::json;
use sealwright_receipts::canonical::{Decimal, DecimalError, Nulls, Rule, canonicalize};
use sealwright_receipts::cvss::{Score, Standard, Vector, convert, score_v31, score_v40};
use serde::Deserialize;
use support::{Tally, judge};

#[test]
fn receipt_numbers_q4() {
    let Some(dir) = support::folder("receipt-numbers-q4") else {
        return;
    };
    let mut tally = Tally::new("receipt-numbers-q4");
    tally.only(&dir, &["numbers.json", "documents.json"]);
    let numbers: Vec<Number> = support::json(&dir.join("numbers.json"));
    for case in &numbers {
        tally.case(format!("numbers/{}", case.lexical), case.run());
    }
    let documents: Vec<Document> = support::json(&dir.join("documents.json"));
    for case in &documents {
        tally.case(format!("documents/{}", case.sha256), case.run());
    }
    tally.finish();
}

#[derive(Deserialize)]
struct Number {
    lexical: String,
    canonical: Option<String>,
    error: Option<String>,
}

impl Number {
    fn run(&self) -> Result<(), String> {
        let got = self.lexical.parse::<Decimal>();
        match (&self.canonical, self.error.as_deref(), got) {
            (Some(want), None, Ok(got)) => equal(&got.to_string(), want),
            (None, Some("out_of_range"), Err(DecimalError::OutOfRange)) => Ok(()),
            (_, _, got) => Err(format!("{got:?}")),
        }
    }
}

#[derive(Deserialize)]
struct Document {
    input: String,
    canonical: String,
    sha256: String,
}

impl Document {
    fn run(&self) -> Result<(), String> {
        let bytes = canonicalize(self.input.as_bytes(), Rule::Q4, Nulls::Keep);
        let bytes = bytes.map_err(|e| e.to_string())?;
        equal(&String::from_utf8_lossy(&bytes), &self.canonical)?;
        equal(&Sha256Digest::of(&[&bytes]).to_string(), &self.sha256)?;
        // Any library for RFC 8785 leaves it as it is.
        let again = json::canonicalize(&bytes).map_err(|e| e.to_string())?;
        equal(&String::from_utf8_lossy(&again), &self.canonical)
    }
}

#[test]
fn cvss() {
    let Some(dir) = support::folder("cvss") else {
        return;
    };
    let mut tally = Tally::new("cvss");
    let disagree = "v4-implementations-disagree.json";
    for file in support::files(&dir) {
        match file.as_str() {
            "v4-cross-validated.json" => {
                let cases: Vec<Scored> = support::json(&dir.join(&file));
                cases
                    .iter()
                    .for_each(|case| tally.case(&case.vector, case.run()));
            }
            "v4-syntax.json" => {
                let cases: Vec<Syntax> = support::json(&dir.join(&file));
                for case in &cases {
                    let answer = Vector::parse(Standard::V40, &case.vector);
                    tally.case(&case.vector, judge(case.valid, answer));
                }
            }
            "v31-scores.json" => {
                let cases: Vec<Scored31> = support::json(&dir.join(&file));
                cases
                    .iter()
                    .for_each(|case| tally.case(&case.vector, case.run()));
            }
            "v31-to-v40-proposed.json" => {
                let cases: Vec<Converted> = support::json(&dir.join(&file));
                cases
                    .iter()
                    .for_each(|case| tally.case(&case.v31, case.run()));
            }
            name if name == disagree => {
                let cases: Vec<serde_json::Value> = support::json(&dir.join(&file));
                for case in &cases {
                    tally.case(&case["vector"], one_of(case));
                }
            }
            name if name.starts_with("schema-") => {}
            _ => tally.unknown_file(&file),
        }
    }
    tally.finish();
}

#[derive(Deserialize)]
struct Scored {
    vector: String,
    score: f64,
    #[serde(rename = "macroVector")]
    macro_vector: String,
    severity: String,
    nomenclature: String,
}

impl Scored {
    fn run(&self) -> Result<(), String> {
        let vector = Vector::parse(Standard::V40, &self.vector).map_err(|e| e.to_string())?;
        let scored = score_v40(&vector);
        same_score(scored.score, self.score)?;
        equal(&scored.macro_vector.to_string(), &self.macro_vector)?;
        equal(scored.score.severity().as_str(), &self.severity)?;
        equal(scored.nomenclature.as_str(), &self.nomenclature)
    }
}

#[derive(Deserialize)]
struct Syntax {
    vector: String,
    valid: bool,
}

#[derive(Deserialize)]
struct Scored31 {
    vector: String,
    base: f64,
    temporal: f64,
    environmental: f64,
}

impl Scored31 {
    fn run(&self) -> Result<(), String> {
        let vector = Vector::parse(Standard::V31, &self.vector).map_err(|e| e.to_string())?;
        let scores = score_v31(&vector);
        same_score(scores.base, self.base)?;
        same_score(scores.temporal, self.temporal)?;
        same_score(scores.environmental, self.environmental)
    }
}

#[derive(Deserialize)]
struct Converted {
    v31: String,
    v40: String,
    score40: f64,
    range40: [f64; 2],
    ambiguities: Vec<String>,
    lossy: bool,
}

impl Converted {
    fn run(&self) -> Result<(), String> {
        let vector = Vector::parse(Standard::V31, &self.v31).map_err(|e| e.to_string())?;
        let converted = convert(&vector).map_err(|e| e.to_string())?;
        equal(&converted.vector.to_string(), &self.v40)?;
        same_score(converted.score, self.score40)?;
        same_score(converted.range.0, self.range40[0])?;
        same_score(converted.range.1, self.range40[1])?;
        equal(
            &converted.ambiguities.join("\n"),
            &self.ambiguities.join("\n"),
        )?;
        equal(
            &(!converted.ambiguities.is_empty()).to_string(),
            &self.lossy.to_string(),
        )
    }
}

/// Any score that the row gives will do: where other implementations disagree, each of them is accepted.
fn one_of(case: &serde_json::Value) -> Result<(), String> {
    let text = case["vector"].as_str().ok_or("no vector")?;
    let vector = Vector::parse(Standard::V40, text).map_err(|e| e.to_string())?;
    let ours = score_v40(&vector).score;
    let given = case
        .as_object()
        .into_iter()
        .flat_map(|members| members.values());
    let mut given = given.filter_map(serde_json::Value::as_f64);
    match given.any(|score| same_score(ours, score).is_ok()) {
        true => Ok(()),
        false => Err(format!("{ours} is none of {case}")),
    }
}

fn same_score(got: Score, want: f64) -> Result<(), String> {
    equal(&got.to_string(), &format!("{want:.1}"))
}

fn equal(got: &str, want: &str) -> Result<(), String> {
    match got == want {
        true => Ok(()),
        false => Err(format!("got {got}, expected {want}")),
    }
}
