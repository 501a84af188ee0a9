//! CVSS: vectors and scores of v4.0 and v3.1, and the conversion from v3.1 to v4.0.
//!
//! Scores are counted in whole numbers, never in doubles: a double puts some scores one step too low, because what should
//! be x.x5 is a little less. The crate `cvss` is the oracle in this crate's tests; what it reads and what
//! it gets right is said there.

mod convert;
mod error;
mod metric;
mod score31;
mod score40;
mod tables;
mod vector;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use convert::{Conversion, METHOD, convert};
pub use error::{VECTOR_MAX, VectorError};
pub use metric::{Group, Standard};
pub use score31::{Scores31, score_v31};
pub use score40::{Nomenclature, Score40, score_v40};
pub use vector::Vector;

/// A score in tenths of a point, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Score(u8);

impl Score {
    /// Clamped to 10.0.
    pub(crate) fn of_tenths(tenths: i64) -> Self {
        Self(u8::try_from(tenths.clamp(0, 100)).unwrap_or(100))
    }

    /// Tenths of a point.
    pub fn tenths(self) -> u8 {
        self.0
    }

    /// The qualitative rating, the same scale for v3.1 and v4.0.
    pub fn severity(self) -> Severity {
        match self.0 {
            0 => Severity::None,
            1..=39 => Severity::Low,
            40..=69 => Severity::Medium,
            70..=89 => Severity::High,
            _ => Severity::Critical,
        }
    }
}

impl fmt::Display for Score {
    /// One decimal always: `7.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl Serialize for Score {
    /// A JSON number.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(10) {
            serializer.serialize_u8(self.0 / 10)
        } else {
            // The nearest double of a decimal with one place prints as that decimal.
            serializer.serialize_f64(f64::from(self.0) / 10.0)
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// 0.0.
    None,
    /// 0.1 to 3.9.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9.
    High,
    /// 9.0 to 10.0.
    Critical,
}

impl Severity {
    /// The name the standard gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }
}

#[cfg(test)]
mod tests;
