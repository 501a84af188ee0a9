//! SPDX 2.x in JSON (<https://spdx.github.io/spdx-spec/v2.3/>) and SPDX 3 in JSON-LD
//! (<https://spdx.github.io/spdx-spec/v3.0.1/>).
#![expect(dead_code, reason = "fields are read for their presence and type only")]

use serde::{Deserialize, Deserializer};

use super::text_beginning_with;
use crate::json::{AnyArray, NonEmpty};

/// A document of either generation: both are in use under `https://spdx.dev/Document`.
#[derive(Deserialize)]
#[serde(try_from = "EitherGeneration")]
pub(super) struct Document;

/// An SPDX 3 document.
#[derive(Deserialize)]
pub(super) struct Document3 {
    #[serde(rename = "@context", deserialize_with = "context3")]
    context: (),
    #[serde(rename = "@graph")]
    graph: AnyArray,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EitherGeneration {
    #[serde(default, deserialize_with = "version2")]
    spdx_version: Option<()>,
    #[serde(rename = "SPDXID")]
    spdx_id: Option<NonEmpty>,
    name: Option<NonEmpty>,
    data_license: Option<NonEmpty>,
    document_namespace: Option<NonEmpty>,
    #[serde(rename = "@context", default, deserialize_with = "some_context3")]
    context: Option<()>,
    #[serde(rename = "@graph")]
    graph: Option<AnyArray>,
}

impl TryFrom<EitherGeneration> for Document {
    type Error = String;

    fn try_from(read: EitherGeneration) -> Result<Self, String> {
        let required = if read.spdx_version.is_some() {
            vec![
                ("SPDXID", read.spdx_id.is_some()),
                ("name", read.name.is_some()),
                ("dataLicense", read.data_license.is_some()),
                ("documentNamespace", read.document_namespace.is_some()),
            ]
        } else if read.context.is_some() {
            vec![("@graph", read.graph.is_some())]
        } else {
            return Err("neither `spdxVersion` (SPDX 2) nor `@context` (SPDX 3)".to_owned());
        };
        match required.iter().find(|(_, present)| !present) {
            None => Ok(Self),
            Some((name, _)) => Err(format!("missing member `{name}`")),
        }
    }
}

fn version2<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<()>, D::Error> {
    text_beginning_with("SPDX-2.", deserializer).map(Some)
}

fn context3<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    text_beginning_with("https://spdx.org/rdf/3.", deserializer)
}

fn some_context3<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<()>, D::Error> {
    context3(deserializer).map(Some)
}
