//! Records in lines.

use sealwright_client::{RecordPage, RecordView};
use serde_json::Value;

use crate::failure::Failure;
use crate::output::{Output, table};

/// A table, and where it goes on.
pub(super) fn page(page: &RecordPage) -> String {
    let rows: Vec<_> = page.records.iter().map(row).collect();
    let header = ["INDEX", "TIME", "KIND", "OUTCOME", "KEY", "PRINCIPAL"];
    let more = page
        .next
        .map(|next| format!("more: --from {next}\n"))
        .unwrap_or_default();
    table(header, &rows) + &more
}

/// One record as soon as it is there: a line of text, or of JSON. `false`: nobody reads any more.
pub(super) fn print(view: &RecordView, output: Output) -> Result<bool, Failure> {
    output.line(view, || row(view).join("  "))
}

fn row(view: &RecordView) -> [String; 6] {
    let Some(record) = &view.record else {
        return row_of_leaf(view);
    };
    let record: Value = serde_json::from_str(record.get()).unwrap_or_default();
    let text = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let or_else =
        |first: &str, second: &str| text(first).or_else(|| text(second)).unwrap_or_default();
    [
        view.index.to_string(),
        or_else("/time", ""),
        or_else("/kind", ""),
        or_else("/outcome", "/event"),
        or_else("/key", "/token"),
        or_else("/principal", "/by/principal"),
    ]
}

/// Of a record without a body: what its leaf says.
fn row_of_leaf(view: &RecordView) -> [String; 6] {
    let leaf: Value = serde_json::from_str(&view.leaf).unwrap_or_default();
    let text = |name: &str| leaf[name].as_str().unwrap_or_default().to_owned();
    let gone = match &view.erased {
        Some(_) => "(erased)",
        None => "(archived)",
    };
    let nothing = String::new;
    [
        view.index.to_string(),
        text("t"),
        text("kind"),
        gone.to_owned(),
        nothing(),
        nothing(),
    ]
}
