//! What the suite found.

use std::fmt;

/// All rows with their verdicts, in the suite's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One per row of the suite.
    pub rows: Vec<Row>,
}

/// One rule and whether the driver keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The rule, a sentence.
    pub name: &'static str,
    /// Whether it is kept.
    pub verdict: Verdict,
}

/// Whether a rule is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Kept,
    /// No; what happened instead.
    Broken(String),
    /// The device cannot be asked; why.
    NotApplicable(&'static str),
}

impl Report {
    /// Whether no rule is broken.
    pub fn passed(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The rows whose rule is broken.
    pub fn broken(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|row| matches!(row.verdict, Verdict::Broken(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { name, verdict } in &self.rows {
            match verdict {
                Verdict::Kept => writeln!(f, "  ok      {name}")?,
                Verdict::Broken(why) => writeln!(f, "  BROKEN  {name}: {why}")?,
                Verdict::NotApplicable(why) => writeln!(f, "  n/a     {name} ({why})")?,
            }
        }
        Ok(())
    }
}
