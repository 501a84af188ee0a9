//! Reading and writing vectors.

use std::collections::BTreeSet;
use std::fmt;

use super::error::{VECTOR_MAX, VectorError};
use super::metric::{Group, Metric, Standard};

/// A vector: each base metric, and others where they are defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    standard: Standard,
    /// One per metric of the standard, in its order; `None` for `X` and for what was left out, which is the same.
    values: Vec<Option<&'static str>>,
}

impl Vector {
    /// Reads a vector exactly as it is written: upper case, and for v4.0 in the standard's order.
    ///
    /// # Errors
    /// See [`VectorError`].
    pub fn parse(standard: Standard, text: &str) -> Result<Self, VectorError> {
        let malformed = || VectorError::Malformed(excerpt(text), standard);
        let fields = text.strip_prefix(standard.prefix());
        let fields = fields.filter(|_| text.len() <= VECTOR_MAX);
        let mut vector = Self::empty(standard);
        let mut seen = Vec::new();
        for field in fields.ok_or_else(malformed)?.split('/') {
            let (name, value) = field.split_once(':').ok_or_else(malformed)?;
            let place = place(standard, name, field)?;
            let metric = &standard.metrics()[place];
            check_place(standard, &seen, place)?;
            seen.push(place);
            let value = known_value(metric, value, field)?;
            vector.values[place] = Some(value).filter(|value| *value != "X");
        }
        vector.complete()
    }

    fn empty(standard: Standard) -> Self {
        let values = vec![None; standard.metrics().len()];
        Self { standard, values }
    }

    /// From metrics by name. Those that the standard does not have are left out.
    pub(super) fn of<'m>(
        standard: Standard,
        metrics: impl IntoIterator<Item = (&'m str, &'m str)>,
    ) -> Result<Self, VectorError> {
        let mut vector = Self::empty(standard);
        for (name, value) in metrics {
            let place = place(standard, name, name)?;
            let value = known_value(&standard.metrics()[place], value, name)?;
            vector.values[place] = Some(value).filter(|value| *value != "X");
        }
        vector.complete()
    }

    fn complete(self) -> Result<Self, VectorError> {
        let missing = self
            .each()
            .find(|(metric, value)| metric.group == Group::Base && value.is_none());
        match missing {
            Some((metric, _)) => Err(VectorError::Missing(metric.name)),
            None => Ok(self),
        }
    }

    fn each(&self) -> impl Iterator<Item = (&'static Metric, Option<&'static str>)> {
        self.standard
            .metrics()
            .iter()
            .zip(self.values.iter().copied())
    }

    /// The value of a metric, where it is defined.
    pub fn get(&self, name: &str) -> Option<&'static str> {
        let mut found = self.each().filter(|(metric, _)| metric.name == name);
        found.next().and_then(|(_, value)| value)
    }

    /// The metrics that are defined, by name.
    pub fn defined(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.each()
            .filter_map(|(metric, value)| Some((metric.name, value?)))
    }

    /// The groups in which something is defined.
    pub fn groups(&self) -> BTreeSet<Group> {
        let defined = self.each().filter(|(_, value)| value.is_some());
        defined.map(|(metric, _)| metric.group).collect()
    }

    /// The groups in which this vector and `other`, of the same standard, differ.
    pub fn changed_groups(&self, other: &Self) -> BTreeSet<Group> {
        let pairs = self.each().zip(&other.values);
        let changed = pairs.filter(|((_, mine), theirs)| mine != *theirs);
        changed.map(|((metric, _), _)| metric.group).collect()
    }
}

impl fmt::Display for Vector {
    /// In the standard's order, without what is not defined.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.standard.prefix())?;
        for (number, (name, value)) in self.defined().enumerate() {
            let slash = if number == 0 { "" } else { "/" };
            write!(f, "{slash}{name}:{value}")?;
        }
        Ok(())
    }
}

fn place(standard: Standard, name: &str, field: &str) -> Result<usize, VectorError> {
    let metrics = standard.metrics();
    if let Some(place) = metrics.iter().position(|metric| metric.name == name) {
        return Ok(place);
    }
    let upper = name.to_ascii_uppercase();
    match metrics.iter().any(|metric| metric.name == upper) {
        true => Err(VectorError::Case(excerpt(field), upper)),
        false => Err(VectorError::UnknownMetric(excerpt(name), standard)),
    }
}

fn check_place(standard: Standard, seen: &[usize], place: usize) -> Result<(), VectorError> {
    let name = |place: usize| standard.metrics()[place].name;
    if seen.contains(&place) {
        return Err(VectorError::Repeated(name(place)));
    }
    match seen.last() {
        Some(last) if standard.is_ordered() && *last > place => Err(VectorError::Order {
            later: name(*last),
            earlier: name(place),
        }),
        _ => Ok(()),
    }
}

fn known_value(
    metric: &'static Metric,
    value: &str,
    field: &str,
) -> Result<&'static str, VectorError> {
    let mut known = metric.values.iter().copied();
    if let Some(known) = known.clone().find(|known| *known == value) {
        return Ok(known);
    }
    match known.find(|known| known.eq_ignore_ascii_case(value)) {
        Some(known) => Err(VectorError::Case(
            excerpt(field),
            format!("{}:{known}", metric.name),
        )),
        None => Err(VectorError::UnknownValue {
            metric: metric.name,
            value: excerpt(value),
            known: metric.values.join(", "),
        }),
    }
}

/// The beginning of a text that somebody else chose.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
