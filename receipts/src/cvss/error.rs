//! Why a text is no vector.

use sealwright_core::error::Code;

use super::Standard;

/// Longest vector in bytes; the longest that says something has about 250.
pub const VECTOR_MAX: usize = 512;

/// Why a text is no vector. Each has a code of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// Another prefix, an empty field, a field without a colon, a slash at the end, or too long.
    #[error(
        "{0:?} is no vector of {1}; one is CVSS:4.0 or CVSS:3.1 and metrics like AV:N, with a slash between them"
    )]
    Malformed(String, Standard),
    /// A metric that the standard does not have.
    #[error("{0:?} is no metric of {1}")]
    UnknownMetric(String, Standard),
    /// A value that the metric does not have.
    #[error("{metric} has no value {value:?}; it is one of {known}")]
    UnknownValue {
        /// The metric.
        metric: &'static str,
        /// What was given.
        value: String,
        /// Its values.
        known: String,
    },
    /// Metric or value in another case.
    #[error("{0:?} has to be written {1}: vectors are read as they are written")]
    Case(String, String),
    /// A metric twice.
    #[error("{0} stands twice")]
    Repeated(&'static str),
    /// Metrics in another order than the standard's.
    #[error("{later} stands before {earlier}; CVSS v4.0 has one order of metrics")]
    Order {
        /// The metric that came too early.
        later: &'static str,
        /// The metric that should have come before it.
        earlier: &'static str,
    },
    /// A metric without which there is no score.
    #[error("{0} is missing; every base metric has to be there")]
    Missing(&'static str),
}

impl VectorError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed(..) => Code::CvssMalformed,
            Self::UnknownMetric(..) => Code::CvssUnknownMetric,
            Self::UnknownValue { .. } => Code::CvssUnknownValue,
            Self::Case(..) => Code::CvssCase,
            Self::Repeated(_) => Code::CvssMetricRepeated,
            Self::Order { .. } => Code::CvssMetricOrder,
            Self::Missing(_) => Code::CvssMetricMissing,
        }
    }
}
