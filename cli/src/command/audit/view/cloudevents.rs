//! CloudEvents 1.0 in structured JSON.
//!
//! `id` is the record's index and `source` the log's origin: together they name the record, as CloudEvents wants it. The
//! extension `leafhash` is the leaf's hash in the tree, hex.

use serde_json::json;

use super::Recorded;

/// In front of the kind: what a type of CloudEvents begins with is its owner's.
const TYPE: &str = "dev.sealwright.audit";

pub(in super::super) fn line(recorded: &Recorded<'_>) -> serde_json::Result<String> {
    let data = recorded.data();
    let mut event = json!({
        "specversion": "1.0",
        "id": recorded.index().to_string(),
        "source": recorded.origin,
        "type": format!("{TYPE}.{}", recorded.kind()),
        "time": recorded.time(),
        "leafhash": recorded.leaf_hash,
        "datacontenttype": "application/json",
    });
    // What it is about: a key, or a token.
    if let Some(subject) = data["key"].as_str().or_else(|| data["token"].as_str()) {
        event["subject"] = json!(subject);
    }
    event["data"] = data;
    serde_json::to_string(&event)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{line_of, view};
    use super::*;

    #[test]
    fn a_record_is_an_event_with_all_that_the_standard_requires_and_its_body_as_it_is() {
        let event = line_of(line, &view(Some("denied")));
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(
            (&event["id"], &event["source"]),
            (&json!("7"), &json!("site.example/log"))
        );
        assert_eq!(event["type"], "dev.sealwright.audit.sign");
        assert_eq!(event["time"], "2026-11-25T08:00:00.123Z");
        assert_eq!(event["subject"], "default/release");
        assert_eq!(event["leafhash"].as_str().unwrap().len(), 64);
        assert_eq!(event["data"]["outcome"], "denied");
        // Names of attributes are lower-case letters and digits.
        let names = event.as_object().unwrap().keys();
        assert!(
            names
                .into_iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase()))
        );
    }

    #[test]
    fn a_record_without_a_body_is_an_event_that_says_so() {
        let event = line_of(line, &view(None));
        assert_eq!(event["data"]["erased"]["by"], 9);
        assert!(event.get("subject").is_none());
    }
}
