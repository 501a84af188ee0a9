//! Query strings: every parameter is known, and stands once unless it may repeat.

use std::str::FromStr;

use sealwright_core::error::Code;

use crate::refusal::Refusal;

/// Parameters that were given; those nobody took are an error.
pub struct Query(Vec<(String, String)>);

fn bad(detail: String) -> Refusal {
    Refusal::bad_input(Code::InvalidRequest, detail)
}

impl Query {
    /// Decodes `text`, the part after `?`.
    pub fn parse(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// All values of `name`.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        self.0.retain(|(key, value)| {
            let is_it = key == name;
            if is_it {
                values.push(value.clone());
            }
            !is_it
        });
        values
    }

    /// The value of `name`, if it stands at most once.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.take_all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(bad(format!(
                "parameter {name} stands {} times",
                values.len()
            ))),
        }
    }

    /// The value of `name`, read as a `T`.
    pub fn take_as<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let value = self.take(name)?;
        value
            .map(|text| {
                text.parse()
                    .map_err(|_| bad(format!("{name}={text} is not understood")))
            })
            .transpose()
    }

    /// Whether `name` stands there and says `true`.
    pub fn take_flag(&mut self, name: &str) -> Result<bool, Refusal> {
        Ok(self.take_as(name)?.unwrap_or(false))
    }

    /// Nothing may be left over.
    pub fn finish(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(format!("parameter {name:?} is unknown"))),
        }
    }
}
