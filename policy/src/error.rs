//! Why a policy text is not taken, with the line where the author has to look.

use crate::text::{CHAIN_MAX, DEPTH_MAX, POLICY_BYTES_MAX};

/// Why a policy text is not taken. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// More than [`POLICY_BYTES_MAX`] bytes.
    #[error(
        "the policy has {bytes} bytes; at most {POLICY_BYTES_MAX} are read, merge or remove policies"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Brackets nest deeper than [`DEPTH_MAX`].
    #[error(
        "line {line}: brackets nest deeper than {DEPTH_MAX}; split the condition into several policies"
    )]
    TooDeep {
        /// Where the limit is passed.
        line: usize,
    },
    /// One policy has more than [`CHAIN_MAX`] operators and brackets.
    #[error(
        "line {line}: the policy has more than {CHAIN_MAX} operators and brackets; use a set (`[..].contains(..)`) or several policies"
    )]
    TooLong {
        /// Where the policy begins.
        line: usize,
    },
    /// Cedar's parser refuses it.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A template: nothing here would ever link it, so it would silently not apply.
    #[error(
        "line {line}: `?principal` and `?resource` make this a template, and templates never apply; name an entity"
    )]
    Template {
        /// Where it begins.
        line: usize,
    },
    /// No `@id`, or one that is empty or unprintable.
    #[error(
        "line {line}: the policy needs an annotation @id(\"…\") of 1 to 128 printable ASCII characters"
    )]
    NoId {
        /// Where the policy begins.
        line: usize,
    },
    /// Two policies with the same `@id`.
    #[error(
        "line {line}: @id({id:?}) is the id of the policy in line {first} already; ids are unique"
    )]
    RepeatedId {
        /// The id.
        id: String,
        /// Where the later policy begins.
        line: usize,
        /// Where the earlier one begins.
        first: usize,
    },
    /// An annotation that has no meaning, or none in its place.
    #[error("line {line}: policy {policy:?}: {message}")]
    Annotation {
        /// The policy's `@id`.
        policy: String,
        /// Where it begins.
        line: usize,
        /// What is wrong, and what there is.
        message: String,
    },
    /// Strict validation found errors or warnings.
    #[error("{}", list(.0))]
    Invalid(Vec<Finding>),
    /// Two principals with one id were given.
    #[error("principal {0:?} is configured twice; keep one [[principal]] section")]
    RepeatedPrincipal(String),
    /// The parser's thread could not be started or died.
    #[error("cannot run the policy parser: {0}")]
    Parser(String),
    /// The text changed between two readings of its own: a fault in this program.
    #[error("fault in the policy loader: {0}; please report it")]
    Internal(String),
}

/// One result of validation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The policy's `@id`.
    pub policy: String,
    /// Where the policy begins.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

fn list(findings: &[Finding]) -> String {
    let lines = findings.iter().map(
        |Finding {
             policy,
             line,
             message,
         }| format!("line {line}: policy {policy:?}: {message}"),
    );
    lines.collect::<Vec<_>>().join("\n")
}
