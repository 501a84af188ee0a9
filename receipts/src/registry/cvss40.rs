//! Scores: `cvss-v4.0/1`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Outcome;
use crate::cvss::{
    Conversion, METHOD, Nomenclature, Score, Severity, Standard, Vector, convert, score_v31,
    score_v40,
};
use crate::error::ReceiptError;

/// Longest rationale in bytes.
const RATIONALE_MAX: usize = 4096;

/// One of the two vectors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    /// A v4.0 vector.
    vector: Option<String>,
    /// A v3.1 vector, which is converted.
    #[serde(rename = "vectorV31")]
    vector_v31: Option<String>,
    /// Why, in the author's words.
    rationale: Option<String>,
}

/// What a vector comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CvssResult {
    /// 0.0 to 10.0.
    pub score: Score,
    /// Its rating.
    pub severity: Severity,
    /// Which groups of metrics went into it.
    pub nomenclature: Nomenclature,
    /// EQ1 to EQ6.
    pub macro_vector: String,
    /// The vector that was scored, without what is not defined.
    pub vector: String,
    /// `vector`, or `converted-v3.1`.
    pub source: &'static str,
    /// Where it was converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<ConversionResult>,
}

/// How a vector was converted, and what is uncertain about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversionResult {
    /// The name of the rules.
    pub conversion_method: &'static str,
    /// `high`, `medium` or `low`.
    pub confidence: &'static str,
    /// The lowest and the highest score of all that could have been chosen.
    pub range: [Score; 2],
    /// What was chosen instead of what.
    pub ambiguities: Vec<String>,
    /// The v3.1 vector as it was given.
    pub original_vector: String,
    /// Its own base score.
    pub original_base_score: Score,
    /// `sha256:` and SHA-256 of the original vector as canonical JSON.
    pub conversion_hash: String,
}

pub(super) fn evaluate(inputs: &RawValue) -> Result<Outcome, ReceiptError> {
    let inputs: Inputs = serde_json::from_str(inputs.get())
        .map_err(|error| ReceiptError::Form(format!("inputs: {error}")))?;
    if inputs
        .rationale
        .is_some_and(|text| text.len() > RATIONALE_MAX)
    {
        let text = format!("rationale has more than {RATIONALE_MAX} bytes");
        return Err(ReceiptError::Form(text));
    }
    let (vector, conversion) = match (inputs.vector, inputs.vector_v31) {
        (Some(text), None) => (Vector::parse(Standard::V40, &text)?, None),
        (None, Some(text)) => {
            let original = Vector::parse(Standard::V31, &text)?;
            let conversion = convert(&original)?;
            let result = conversion_result(text, &original, &conversion);
            (conversion.vector, Some(result))
        }
        _ => {
            let text = "inputs has exactly one of vector (v4.0) and vectorV31";
            return Err(ReceiptError::Form(text.into()));
        }
    };
    Ok(Outcome {
        result: Some(result(&vector, conversion)),
        vector: Some(vector),
    })
}

fn conversion_result(text: String, original: &Vector, conversion: &Conversion) -> ConversionResult {
    let (low, high) = conversion.range;
    ConversionResult {
        conversion_method: METHOD,
        confidence: conversion.confidence(),
        range: [low, high],
        ambiguities: conversion.ambiguities.clone(),
        original_vector: text,
        original_base_score: score_v31(original).base,
        conversion_hash: format!("sha256:{}", conversion.hash),
    }
}

fn result(vector: &Vector, conversion: Option<ConversionResult>) -> CvssResult {
    let scored = score_v40(vector);
    let source = match conversion {
        Some(_) => "converted-v3.1",
        None => "vector",
    };
    CvssResult {
        score: scored.score,
        severity: scored.score.severity(),
        nomenclature: scored.nomenclature,
        macro_vector: scored.macro_vector.to_string(),
        vector: vector.to_string(),
        source,
        conversion,
    }
}
