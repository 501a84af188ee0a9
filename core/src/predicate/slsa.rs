//! SLSA provenance v1: <https://slsa.dev/spec/v1.0/provenance>.
#![expect(dead_code, reason = "fields are read for their presence and type only")]

use serde::Deserialize;

use crate::json::{AnyObject, NonEmpty};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Provenance {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: NonEmpty,
    external_parameters: AnyObject,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Deserialize)]
struct Builder {
    id: NonEmpty,
}
