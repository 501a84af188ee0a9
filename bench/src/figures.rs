//! The figures that have an aim, and `results.json`.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::aims::Named;

/// One figure with its aim, as it stands in `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The median over the rounds.
    pub value: f64,
    /// Of the value.
    pub unit: &'static str,
    /// `>= 0.25`.
    pub aim: String,
    /// Whether the value is what it shall be.
    pub met: bool,
    /// By how much it is not, as a share of the aim.
    #[serde(skip)]
    pub missed_by: Option<f64>,
    /// Below this it is not done at all.
    #[serde(skip)]
    pub floor: Option<f64>,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Takes in a value.
    pub fn add(&mut self, named: &Named, value: f64) {
        self.0.push(Figure {
            name: named.name,
            value,
            unit: named.unit,
            aim: named.aim.to_string(),
            met: named.aim.is_met(value),
            missed_by: named.aim.missed_by(value),
            floor: named.floor,
        });
    }

    /// In the order they were measured.
    pub fn all(&self) -> &[Figure] {
        &self.0
    }

    /// Writes the list, and the folder it is in.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut json = serde_json::to_vec_pretty(&self.0)?;
        json.push(b'\n');
        fs::write(path, json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aims::SOFTHSM_C1;

    #[test]
    fn a_figure_has_exactly_the_five_members_that_readers_of_the_file_know() {
        let mut figures = Figures::default();
        figures.add(&SOFTHSM_C1, 0.3);
        let json = serde_json::to_value(figures.all()).unwrap();
        let expected = serde_json::json!([{
            "name": "softhsm.p256.ratio.c1", "value": 0.3, "unit": "ratio", "aim": ">= 0.25", "met": true,
        }]);
        assert_eq!(json, expected);
    }
}
