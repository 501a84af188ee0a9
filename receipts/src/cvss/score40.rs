//! The score of a v4.0 vector (specification section 8), counted exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tables::{self, Level};
use super::{Group, Score, Vector};

/// A common multiple of every depth in the tables, so that shares of a distance are whole numbers.
const SHARES: i64 = 840;

/// Which groups went into a score; the number alone does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Nomenclature {
    /// Base.
    #[serde(rename = "CVSS-B")]
    B,
    /// Base and threat.
    #[serde(rename = "CVSS-BT")]
    BT,
    /// Base and environmental.
    #[serde(rename = "CVSS-BE")]
    BE,
    /// All three.
    #[serde(rename = "CVSS-BTE")]
    BTE,
}

impl Nomenclature {
    /// By what is defined. Supplemental metrics have no say.
    pub fn of(vector: &Vector) -> Self {
        let groups = vector.groups();
        let has = |group| groups.contains(&group);
        match (has(Group::Threat), has(Group::Environmental)) {
            (false, false) => Self::B,
            (true, false) => Self::BT,
            (false, true) => Self::BE,
            (true, true) => Self::BTE,
        }
    }

    /// The text the standard gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::B => "CVSS-B",
            Self::BT => "CVSS-BT",
            Self::BE => "CVSS-BE",
            Self::BTE => "CVSS-BTE",
        }
    }
}

/// What a v4.0 vector comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score40 {
    /// The score.
    pub score: Score,
    /// EQ1 to EQ6, a digit each.
    pub macro_vector: MacroVector,
    /// What went into it.
    pub nomenclature: Nomenclature,
}

/// EQ1 to EQ6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacroVector([u8; 6]);

impl fmt::Display for MacroVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|eq| write!(f, "{eq}"))
    }
}

/// Scores a v4.0 vector.
pub fn score_v40(vector: &Vector) -> Score40 {
    let eq = macro_vector(vector);
    Score40 {
        score: score(vector, eq),
        macro_vector: MacroVector(eq),
        nomenclature: Nomenclature::of(vector),
    }
}

/// The value that counts for a metric: the modified one before the base one, and the worst where none is defined.
fn effective(vector: &Vector, name: &str) -> &'static str {
    let worst = match name {
        "E" => "A",
        "CR" | "IR" | "AR" => "H",
        _ => "",
    };
    let modified = vector.get(&format!("M{name}"));
    modified.or_else(|| vector.get(name)).unwrap_or(worst)
}

fn macro_vector(vector: &Vector) -> [u8; 6] {
    let is = |name: &str, value: &str| effective(vector, name) == value;
    let open = [is("AV", "N"), is("PR", "N"), is("UI", "N")];
    let eq1 = match (open, is("AV", "P")) {
        ([true, true, true], _) => 0,
        (_, false) if open.contains(&true) => 1,
        _ => 2,
    };
    let eq2 = if is("AC", "L") && is("AT", "N") { 0 } else { 1 };
    let eq3 = match [is("VC", "H"), is("VI", "H"), is("VA", "H")] {
        [true, true, _] => 0,
        [false, false, false] => 2,
        _ => 1,
    };
    let eq4 = match (
        is("SI", "S") || is("SA", "S"),
        is("SC", "H") || is("SI", "H") || is("SA", "H"),
    ) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    let eq5 = match effective(vector, "E") {
        "A" => 0,
        "P" => 1,
        _ => 2,
    };
    let needed = [("CR", "VC"), ("IR", "VI"), ("AR", "VA")];
    let is_needed = needed
        .iter()
        .any(|(need, impact)| is(need, "H") && is(impact, "H"));
    [eq1, eq2, eq3, eq4, eq5, if is_needed { 0 } else { 1 }]
}

fn score(vector: &Vector, eq: [u8; 6]) -> Score {
    let impacts = ["VC", "VI", "VA", "SC", "SI", "SA"];
    if impacts.iter().all(|name| effective(vector, name) == "N") {
        return Score::default();
    }
    // Every combination of six levels that a vector can have is in the table.
    let highest = tables::score(eq).unwrap_or_default();
    let (mut lower, mut shares) = (0, 0);
    for (distance, level) in distances(eq, highest) {
        let Some(distance) = distance.filter(|distance| *distance >= 0) else {
            continue;
        };
        lower += 1;
        if let Some(level) = level {
            shares += distance * steps_down(vector, level) * (SHARES / level.depth);
        }
    }
    // highest − shares ÷ SHARES ÷ lower, rounded half up to tenths.
    let whole = SHARES * i64::max(lower, 1);
    Score::of_tenths((2 * (highest * whole - shares) + whole).div_euclid(2 * whole))
}

type Distance = (Option<i64>, Option<&'static Level>);

/// For each equivalence set, how much lower the next lower macro vector scores, in tenths; `None` where there is none.
fn distances(eq: [u8; 6], highest: i64) -> [Distance; 5] {
    let lowered = |places: &[usize]| {
        let mut eq = eq;
        places.iter().for_each(|place| eq[*place] += 1);
        tables::score(eq).map(|score| highest - score)
    };
    // EQ3 and EQ6 depend on each other. Where both can be lowered, the one that scores higher counts.
    let joint = match (eq[2], eq[5]) {
        (0, 0) => lowered(&[5]).into_iter().chain(lowered(&[2])).min(),
        (1, 0) => lowered(&[5]),
        (_, 1) => lowered(&[2]),
        _ => lowered(&[2, 5]),
    };
    let [eq1, eq2, eq3_eq6, eq4] = tables::levels(eq);
    [
        (lowered(&[0]), eq1),
        (lowered(&[1]), eq2),
        (joint, eq3_eq6),
        (lowered(&[3]), eq4),
        (lowered(&[4]), None),
    ]
}

/// Steps from a level's most severe combination to the vector: from the first that is at least as severe in each metric.
fn steps_down(vector: &Vector, level: &Level) -> i64 {
    let down = |most: &[(&str, &str)]| -> Option<i64> {
        let steps = most.iter().map(|(name, value)| {
            tables::steps(name, effective(vector, name)) - tables::steps(name, value)
        });
        steps.map(|steps| (steps >= 0).then_some(steps)).sum()
    };
    let mut found = level.most_severe.iter().filter_map(|most| down(most));
    found.next().unwrap_or_default()
}
