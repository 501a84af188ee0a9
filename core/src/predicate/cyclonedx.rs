//! CycloneDX in JSON: <https://cyclonedx.org/specification/overview/>.
#![expect(dead_code, reason = "fields are read for their presence and type only")]

use serde::Deserialize;

use crate::json::NonEmpty;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    bom_format: BomFormat,
    spec_version: NonEmpty,
}

#[derive(Deserialize)]
enum BomFormat {
    #[serde(rename = "CycloneDX")]
    CycloneDx,
}
