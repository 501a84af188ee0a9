//! From v3.1 to v4.0.
//!
//! There is no official conversion: v4.0 asks for facts that a v3.1 vector does not have. This one is fixed, named by
//! [`METHOD`], and says what it had to choose and how far the score could be from the truth.

use std::collections::BTreeMap;

use sealwright_core::digest::Sha256Digest;

use super::{Score, Standard, Vector, VectorError, score_v40};

/// The name of these rules. Other rules take another name.
pub const METHOD: &str = "sealwright-v31-to-v40/1";

/// A converted vector, and what is to be known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The vector that was chosen.
    pub vector: Vector,
    /// Its score.
    pub score: Score,
    /// The lowest and the highest score of all that could have been chosen.
    pub range: (Score, Score),
    /// What was chosen, and instead of what; none where nothing was.
    pub ambiguities: Vec<String>,
    /// SHA-256 of the original vector as canonical JSON: its text in quotes.
    pub hash: Sha256Digest,
}

impl Conversion {
    /// How far to trust it: `high` where nothing was chosen, `medium` where no choice moves the score by a point, else
    /// `low`.
    pub fn confidence(&self) -> &'static str {
        let (low, high) = self.range;
        match high.tenths() - low.tenths() {
            _ if self.ambiguities.is_empty() => "high",
            0..10 => "medium",
            _ => "low",
        }
    }
}

/// Metrics of v4.0 that one reading of a v3.1 metric gives.
type Reading = Vec<(&'static str, &'static str)>;

/// What stands open: the readings of one metric, the chosen one first.
struct Choice(Vec<Reading>);

/// Converts a v3.1 vector.
///
/// # Errors
/// None for a vector that was parsed as v3.1; the type of the parts' errors.
pub fn convert(v31: &Vector) -> Result<Conversion, VectorError> {
    let mut reader = Reader {
        v31,
        choices: Vec::new(),
        ambiguities: Vec::new(),
    };
    reader.base();
    reader.threat();
    reader.environmental();
    let Reader {
        choices,
        ambiguities,
        ..
    } = reader;
    let all = readings(&choices);
    let mut scores = Vec::with_capacity(all.len());
    let mut chosen = None;
    for metrics in all {
        let vector = Vector::of(Standard::V40, metrics)?;
        let score = score_v40(&vector).score;
        scores.push(score);
        chosen.get_or_insert((vector, score));
    }
    let low = scores.iter().copied().min().unwrap_or_default();
    let high = scores.iter().copied().max().unwrap_or_default();
    let (vector, score) = chosen.ok_or(VectorError::Missing("AV"))?;
    Ok(Conversion {
        vector,
        score,
        range: (low, high),
        ambiguities,
        // A vector has no character that JSON escapes.
        hash: Sha256Digest::of(&[b"\"", v31.to_string().as_bytes(), b"\""]),
    })
}

/// Every combination of readings; the first is the chosen one.
fn readings(choices: &[Choice]) -> Vec<BTreeMap<&'static str, &'static str>> {
    let mut all = vec![BTreeMap::new()];
    for Choice(options) in choices {
        let each = all.iter().flat_map(|before| {
            options.iter().map(|reading| {
                let mut metrics = before.clone();
                metrics.extend(reading.iter().copied());
                metrics
            })
        });
        // The chosen reading of each stays in front: the first combination is all of them.
        all = each.collect();
    }
    all
}

struct Reader<'v> {
    v31: &'v Vector,
    choices: Vec<Choice>,
    ambiguities: Vec<String>,
}

impl Reader<'_> {
    fn sure(&mut self, metrics: impl IntoIterator<Item = (&'static str, &'static str)>) {
        self.choices
            .push(Choice(vec![metrics.into_iter().collect()]));
    }

    fn base(&mut self) {
        for name in ["AV", "PR"] {
            self.sure(self.v31.get(name).map(|value| (name, value)));
        }
        self.complexity("AC", "AC", "AT");
        self.interaction("UI", "UI");
        let impacts = ["C", "I", "A"].map(|name| self.v31.get(name).unwrap_or("N"));
        self.sure(zip(["VC", "VI", "VA"], impacts));
        let subsequent = ["SC", "SI", "SA"];
        match self.v31.get("S") {
            Some("C") => {
                let options = vec![zip(subsequent, impacts), zip(subsequent, ["N"; 3])];
                self.choices.push(Choice(options));
                self.ambiguities
                    .push("S:C -> SC/SI/SA copied from C/I/A (alternative N)".into());
            }
            _ => self.sure(zip(subsequent, ["N"; 3])),
        }
    }

    fn complexity(&mut self, from: &str, ac: &'static str, at: &'static str) {
        match self.v31.get(from) {
            Some("H") => {
                let options = [("H", "N"), ("L", "P"), ("H", "P")];
                let options = options.map(|(c, t)| vec![(ac, c), (at, t)]);
                self.choices.push(Choice(options.into()));
                self.ambiguities.push(format!(
                    "{from}:H -> {ac}:H/{at}:N (alternatives {ac}:L/{at}:P, {ac}:H/{at}:P)"
                ));
            }
            Some(_) => self.sure([(ac, "L"), (at, "N")]),
            None => {}
        }
    }

    fn interaction(&mut self, from: &str, ui: &'static str) {
        match self.v31.get(from) {
            Some("R") => {
                let options = ["P", "A"].map(|value| vec![(ui, value)]);
                self.choices.push(Choice(options.into()));
                self.ambiguities
                    .push(format!("{from}:R -> {ui}:P (alternative {ui}:A)"));
            }
            Some(_) => self.sure([(ui, "N")]),
            None => {}
        }
    }

    fn threat(&mut self) {
        match self.v31.get("E") {
            Some(value @ ("H" | "F")) => {
                self.sure([("E", "A")]);
                self.ambiguities.push(format!("E:{value} -> E:A"));
            }
            Some(value) => self.sure([("E", value)]),
            None => {}
        }
        for name in ["RL", "RC"] {
            if let Some(value) = self.v31.get(name) {
                self.ambiguities.push(format!("{name}:{value} dropped"));
            }
        }
    }

    fn environmental(&mut self) {
        for name in ["CR", "IR", "AR", "MAV", "MPR"] {
            self.sure(self.v31.get(name).map(|value| (name, value)));
        }
        self.complexity("MAC", "MAC", "MAT");
        self.interaction("MUI", "MUI");
        let modified = ["MC", "MI", "MA"].map(|name| self.v31.get(name));
        let vulnerable = ["MVC", "MVI", "MVA"];
        self.sure(defined(vulnerable, modified));
        let subsequent = ["MSC", "MSI", "MSA"];
        match (self.v31.get("MS"), self.v31.get("S")) {
            (Some("C"), _) => {
                let base = ["C", "I", "A"].map(|name| self.v31.get(name));
                let mut impacts = modified;
                for (modified, base) in impacts.iter_mut().zip(base) {
                    *modified = modified.or(base);
                }
                let options = vec![defined(subsequent, impacts), zip(subsequent, ["N"; 3])];
                self.choices.push(Choice(options));
                let text = "MS:C -> MSC/MSI/MSA copied from the modified C/I/A (alternative N)";
                self.ambiguities.push(text.into());
            }
            (Some(_), _) => self.sure(zip(subsequent, ["N"; 3])),
            // The subsequent systems' impacts follow the base metrics, so they follow what modifies those.
            (None, Some("C")) => self.sure(defined(subsequent, modified)),
            (None, _) => {}
        }
    }
}

fn zip(names: [&'static str; 3], values: [&'static str; 3]) -> Reading {
    names.into_iter().zip(values).collect()
}

fn defined(names: [&'static str; 3], values: [Option<&'static str>; 3]) -> Reading {
    let pairs = names.into_iter().zip(values);
    pairs
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &str) -> Conversion {
        convert(&Vector::parse(Standard::V31, text).unwrap()).unwrap()
    }

    #[test]
    fn a_vector_without_open_questions_converts_without_a_doubt() {
        let conversion = converted("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H");
        let text = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(conversion.vector.to_string(), text);
        assert_eq!(conversion.confidence(), "high");
        assert_eq!(conversion.range, (conversion.score, conversion.score));
    }

    #[test]
    fn modified_metrics_and_a_modified_scope_come_along() {
        let base = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:L/A:N";
        let conversion = converted(&format!("{base}/RL:O/MAC:H/MS:C/MA:L"));
        let text = conversion.vector.to_string();
        assert!(
            text.ends_with("/MAC:H/MAT:N/MVA:L/MSC:H/MSI:L/MSA:L"),
            "{text}"
        );
        assert_eq!(
            conversion.ambiguities.len(),
            3,
            "{:?}",
            conversion.ambiguities
        );
        assert_ne!(conversion.confidence(), "high");
    }
}
