//! From text to a validated policy set whose ids are the `@id` annotations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr as _;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use sealwright_core::permit::Demands;

use crate::SCHEMA;
use crate::demands;
use crate::error::{Finding, PolicyError};
use crate::literals;
use crate::text::{line_of, statements};

/// Stack of the parser's thread. At [`crate::DEPTH_MAX`] the parser needs about 1 MiB.
const PARSER_STACK: usize = 64 * 1024 * 1024;

/// Longest `@id`.
const ID_MAX: usize = 128;

/// A policy set that passed every check, and where its policies stand in the text.
pub(crate) struct Loaded {
    pub(crate) policies: PolicySet,
    pub(crate) schema: Schema,
    pub(crate) places: BTreeMap<String, Range<usize>>,
    /// What permits demand, by id; those without are left out.
    pub(crate) demands: BTreeMap<String, Demands>,
    /// Strings in the `when` clauses of permits.
    pub(crate) permitted_strings: BTreeSet<String>,
}

/// Loads `text` on a thread of its own: Cedar parses and validates by recursion.
pub(crate) fn load(text: &str) -> Result<Loaded, PolicyError> {
    let ranges = statements(text)?;
    let owned = text.to_owned();
    std::thread::Builder::new()
        .name("policy-parser".to_owned())
        .stack_size(PARSER_STACK)
        .spawn(move || parse(&owned, &ranges))
        .map_err(|e| PolicyError::Parser(e.to_string()))?
        .join()
        .unwrap_or_else(|_| Err(PolicyError::Parser("it panicked".to_owned())))
}

fn parse(text: &str, ranges: &[Range<usize>]) -> Result<Loaded, PolicyError> {
    let parsed = PolicySet::from_str(text).map_err(|errors| syntax(text, &errors))?;
    let (policies, places) = name_by_annotation(text, ranges, &parsed)?;
    let demands = demands::of_permits(text, &policies, &places)?;
    let schema =
        Schema::from_str(SCHEMA).map_err(|e| PolicyError::Internal(format!("schema: {e}")))?;
    validate(text, &policies, &schema, &places)?;
    let permitted_strings = literals::in_permits(&policies)?;
    Ok(Loaded {
        policies,
        schema,
        places,
        demands,
        permitted_strings,
    })
}

fn syntax(text: &str, errors: &cedar_policy::ParseErrors) -> PolicyError {
    let first = errors.iter().next();
    let offset = first
        .and_then(|e| e.labels()?.next())
        .map_or(0, |label| label.offset());
    let mut message = errors.to_string();
    if let Some(help) = first.and_then(|e| e.help()) {
        message.push_str(&format!(" ({help})"));
    }
    PolicyError::Syntax {
        line: line_of(text, offset),
        message,
    }
}

type Named = (PolicySet, BTreeMap<String, Range<usize>>);

/// Cedar calls policies `policy0`, `policy1`, … in the order of the text; those ids shift with every edit.
fn name_by_annotation(
    text: &str,
    ranges: &[Range<usize>],
    parsed: &PolicySet,
) -> Result<Named, PolicyError> {
    if ranges.len() != parsed.policies().count() + parsed.templates().count() {
        return Err(PolicyError::Internal(
            "statements and policies differ in number".to_owned(),
        ));
    }
    let mut places = BTreeMap::<String, Range<usize>>::new();
    let mut policies = Vec::with_capacity(ranges.len());
    for (number, range) in ranges.iter().enumerate() {
        let line = line_of(text, range.start);
        let policy = parsed
            .policy(&PolicyId::new(format!("policy{number}")))
            .ok_or(PolicyError::Template { line })?;
        let id = annotated_id(policy).ok_or(PolicyError::NoId { line })?;
        policies.push(policy.new_id(PolicyId::new(&id)));
        if let Some(earlier) = places.insert(id.clone(), range.clone()) {
            return Err(PolicyError::RepeatedId {
                id,
                line,
                first: line_of(text, earlier.start),
            });
        }
    }
    let policies =
        PolicySet::from_policies(policies).map_err(|e| PolicyError::Internal(e.to_string()))?;
    Ok((policies, places))
}

fn annotated_id(policy: &Policy) -> Option<String> {
    let id = policy.annotation("id")?;
    let printable = id
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    ((1..=ID_MAX).contains(&id.len()) && printable).then(|| id.to_owned())
}

/// Strict, and a warning refuses as an error does: a policy that can never apply is an operator's mistake.
fn validate(
    text: &str,
    policies: &PolicySet,
    schema: &Schema,
    places: &BTreeMap<String, Range<usize>>,
) -> Result<(), PolicyError> {
    let result = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let finding = |policy: &PolicyId, problem: &dyn Diagnostic| {
        let policy: &str = policy.as_ref();
        let help = problem
            .help()
            .map(|help| format!(" ({help})"))
            .unwrap_or_default();
        Finding {
            policy: policy.to_owned(),
            line: places
                .get(policy)
                .map_or(1, |range| line_of(text, range.start)),
            message: format!("{problem}{help}").replace(&format!("for policy `{policy}`, "), ""),
        }
    };
    let errors = result
        .validation_errors()
        .map(|e| finding(e.policy_id(), e));
    let warnings = result
        .validation_warnings()
        .map(|w| finding(w.policy_id(), w));
    let mut findings: Vec<Finding> = errors.chain(warnings).collect();
    findings.sort_by_key(|finding| finding.line);
    // Cedar repeats itself for every kind of request that a policy could be asked about.
    findings.dedup();
    if findings.is_empty() {
        Ok(())
    } else {
        Err(PolicyError::Invalid(findings))
    }
}
