//! The scores of a v3.1 vector (specification section 7 and appendix A), in fixed point.

use super::{Score, Vector};

/// Units in one. Sixteen decimals: the longest product, a 15th power, is still right in its twelfth.
const ONE: i128 = 10_000_000_000_000_000;
/// Units in a hundred-thousandth, to which the standard rounds before it rounds up.
const HUNDRED_THOUSANDTH: i128 = ONE / 100_000;

/// What a v3.1 vector comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores31 {
    /// Of the base metrics.
    pub base: Score,
    /// With what is known of exploits and remedies.
    pub temporal: Score,
    /// With what the system means to its user.
    pub environmental: Score,
}

/// Scores a v3.1 vector.
pub fn score_v31(vector: &Vector) -> Scores31 {
    let temporal = product(&["E", "RL", "RC"].map(|name| weight(name, value(vector, name), false)));
    let base = rounded_up(base(vector));
    let modified = rounded_up(modified(vector));
    Scores31 {
        base: score(base),
        temporal: score(rounded_up(times(base, temporal))),
        environmental: score(rounded_up(times(modified, temporal))),
    }
}

fn base(vector: &Vector) -> i128 {
    let is_changed = value(vector, "S") == "C";
    let of = |name| weight(name, value(vector, name), is_changed);
    let kept = product(&["C", "I", "A"].map(|name| ONE - of(name)));
    let isc = ONE - kept;
    let impact = if is_changed {
        changed_impact(isc, power(isc - thousandths(20), 15))
    } else {
        times(thousandths(6420), isc)
    };
    total(
        impact,
        product(&["AV", "AC", "PR", "UI"].map(of)),
        is_changed,
    )
}

fn modified(vector: &Vector) -> i128 {
    let is_changed = modified_value(vector, "S") == "C";
    let of = |name| weight(name, modified_value(vector, name), is_changed);
    let needed = [("C", "CR"), ("I", "IR"), ("A", "AR")]
        .map(|(name, need)| ONE - times(of(name), weight(need, value(vector, need), false)));
    let isc = i128::min(ONE - product(&needed), thousandths(915));
    let impact = if is_changed {
        let lessened = isc * 9731 / 10_000;
        changed_impact(isc, power(lessened - thousandths(20), 13))
    } else {
        times(thousandths(6420), isc)
    };
    total(
        impact,
        product(&["AV", "AC", "PR", "UI"].map(of)),
        is_changed,
    )
}

fn changed_impact(isc: i128, power: i128) -> i128 {
    times(thousandths(7520), isc - thousandths(29)) - times(thousandths(3250), power)
}

fn total(impact: i128, exploitability: i128, is_changed: bool) -> i128 {
    if impact <= 0 {
        return 0;
    }
    let sum = impact + times(thousandths(8220), exploitability);
    let factor = if is_changed { 1080 } else { 1000 };
    i128::min(times(thousandths(factor), sum), 10 * ONE)
}

/// A metric's value; `X` where it is not defined.
fn value(vector: &Vector, name: &str) -> &'static str {
    vector.get(name).unwrap_or("X")
}

fn modified_value(vector: &Vector, name: &str) -> &'static str {
    let modified = vector.get(&format!("M{name}"));
    modified.unwrap_or_else(|| value(vector, name))
}

/// Section 7.4.
fn weight(name: &str, value: &str, is_changed: bool) -> i128 {
    thousandths(match (name, value) {
        ("AV", "N") | ("PR" | "UI", "N") => 850,
        ("AV", "A") | ("UI", "R") => 620,
        ("AV", "L") => 550,
        ("AV", "P") => 200,
        ("AC", "L") => 770,
        ("AC", "H") => 440,
        ("PR", "L") => {
            if is_changed {
                680
            } else {
                620
            }
        }
        ("PR", "H") => {
            if is_changed {
                500
            } else {
                270
            }
        }
        ("C" | "I" | "A", "H") => 560,
        ("C" | "I" | "A", "L") => 220,
        ("C" | "I" | "A", _) => 0,
        ("E", "F") | ("RL", "W") => 970,
        ("E", "P") => 940,
        ("E", "U") => 910,
        ("RL", "T") | ("RC", "R") => 960,
        ("RL", "O") => 950,
        ("RC", "U") => 920,
        ("CR" | "IR" | "AR", "H") => 1500,
        ("CR" | "IR" | "AR", "L") => 500,
        _ => 1000,
    })
}

const fn thousandths(n: i128) -> i128 {
    n * (ONE / 1000)
}

const fn times(a: i128, b: i128) -> i128 {
    a * b / ONE
}

fn product(factors: &[i128]) -> i128 {
    factors.iter().fold(ONE, |all, factor| times(all, *factor))
}

fn power(base: i128, exponent: u32) -> i128 {
    (0..exponent).fold(ONE, |all, _| times(all, base))
}

/// Appendix A, *Roundup*: to the next tenth, but for what is a tenth up to five decimals.
fn rounded_up(units: i128) -> i128 {
    let rounded = (units + HUNDRED_THOUSANDTH / 2).div_euclid(HUNDRED_THOUSANDTH);
    let tenths = (rounded + 9_999).div_euclid(10_000);
    tenths * (ONE / 10)
}

fn score(units: i128) -> Score {
    Score::of_tenths(i64::try_from(units * 10 / ONE).unwrap_or(100))
}
