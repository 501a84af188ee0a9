//! The metrics of each standard, in its order.

use std::fmt;

/// Which version of CVSS a vector is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standard {
    /// CVSS v3.1.
    V31,
    /// CVSS v4.0.
    V40,
}

/// Who knows a metric: the groups of both standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// What the vulnerability is like.
    Base,
    /// What is known of attacks (v3.1: temporal).
    Threat,
    /// What it means where the system is used.
    Environmental,
    /// Further facts, without a weight.
    Supplemental,
}

impl Group {
    /// The name that policy uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Threat => "threat",
            Self::Environmental => "environmental",
            Self::Supplemental => "supplemental",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) group: Group,
    /// Its values; `X`, not defined, is the first of those that may be left out.
    pub(super) values: &'static [&'static str],
}

use Group::{Base, Environmental, Supplemental, Threat};

const fn metric(name: &'static str, group: Group, values: &'static [&'static str]) -> Metric {
    Metric {
        name,
        group,
        values,
    }
}

const HLN: &[&str] = &["H", "L", "N"];
const XHLN: &[&str] = &["X", "H", "L", "N"];
const XSHLN: &[&str] = &["X", "S", "H", "L", "N"];
const XHML: &[&str] = &["X", "H", "M", "L"];

/// CVSS v4.0 specification, table 23.
static V40: [Metric; 32] = [
    metric("AV", Base, &["N", "A", "L", "P"]),
    metric("AC", Base, &["L", "H"]),
    metric("AT", Base, &["N", "P"]),
    metric("PR", Base, &["N", "L", "H"]),
    metric("UI", Base, &["N", "P", "A"]),
    metric("VC", Base, HLN),
    metric("VI", Base, HLN),
    metric("VA", Base, HLN),
    metric("SC", Base, HLN),
    metric("SI", Base, HLN),
    metric("SA", Base, HLN),
    metric("E", Threat, &["X", "A", "P", "U"]),
    metric("CR", Environmental, XHML),
    metric("IR", Environmental, XHML),
    metric("AR", Environmental, XHML),
    metric("MAV", Environmental, &["X", "N", "A", "L", "P"]),
    metric("MAC", Environmental, &["X", "L", "H"]),
    metric("MAT", Environmental, &["X", "N", "P"]),
    metric("MPR", Environmental, &["X", "N", "L", "H"]),
    metric("MUI", Environmental, &["X", "N", "P", "A"]),
    metric("MVC", Environmental, XHLN),
    metric("MVI", Environmental, XHLN),
    metric("MVA", Environmental, XHLN),
    metric("MSC", Environmental, XHLN),
    metric("MSI", Environmental, XSHLN),
    metric("MSA", Environmental, XSHLN),
    metric("S", Supplemental, &["X", "N", "P"]),
    metric("AU", Supplemental, &["X", "N", "Y"]),
    metric("R", Supplemental, &["X", "A", "U", "I"]),
    metric("V", Supplemental, &["X", "D", "C"]),
    metric("RE", Supplemental, &["X", "L", "M", "H"]),
    metric("U", Supplemental, &["X", "Clear", "Green", "Amber", "Red"]),
];

/// CVSS v3.1 specification, table 15.
static V31: [Metric; 22] = [
    metric("AV", Base, &["N", "A", "L", "P"]),
    metric("AC", Base, &["L", "H"]),
    metric("PR", Base, &["N", "L", "H"]),
    metric("UI", Base, &["N", "R"]),
    metric("S", Base, &["U", "C"]),
    metric("C", Base, HLN),
    metric("I", Base, HLN),
    metric("A", Base, HLN),
    metric("E", Threat, &["X", "H", "F", "P", "U"]),
    metric("RL", Threat, &["X", "U", "W", "T", "O"]),
    metric("RC", Threat, &["X", "C", "R", "U"]),
    metric("CR", Environmental, XHML),
    metric("IR", Environmental, XHML),
    metric("AR", Environmental, XHML),
    metric("MAV", Environmental, &["X", "N", "A", "L", "P"]),
    metric("MAC", Environmental, &["X", "L", "H"]),
    metric("MPR", Environmental, &["X", "N", "L", "H"]),
    metric("MUI", Environmental, &["X", "N", "R"]),
    metric("MS", Environmental, &["X", "U", "C"]),
    metric("MC", Environmental, XHLN),
    metric("MI", Environmental, XHLN),
    metric("MA", Environmental, XHLN),
];

impl Standard {
    /// What a vector begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::V31 => "CVSS:3.1/",
            Self::V40 => "CVSS:4.0/",
        }
    }

    pub(super) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::V31 => &V31,
            Self::V40 => &V40,
        }
    }

    /// v4.0 has one order (section 7); v3.1 recommends one and takes any.
    pub(super) const fn is_ordered(self) -> bool {
        matches!(self, Self::V40)
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V31 => "CVSS v3.1",
            Self::V40 => "CVSS v4.0",
        })
    }
}
