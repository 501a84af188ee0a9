//! OpenVEX: <https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md>.
#![expect(dead_code, reason = "fields are read for their presence and type only")]

use serde::Deserialize;

use super::text_beginning_with;
use crate::json::{AnyArray, NonEmpty};

#[derive(Deserialize)]
pub(super) struct Document {
    #[serde(rename = "@context", deserialize_with = "context")]
    context: (),
    #[serde(rename = "@id")]
    id: NonEmpty,
    author: NonEmpty,
    timestamp: NonEmpty,
    version: u64,
    statements: AnyArray,
}

fn context<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    text_beginning_with("https://openvex.dev/ns", deserializer)
}
