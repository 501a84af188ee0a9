//! OpenTelemetry log records, each an export request of its own in OTLP/JSON: what a collector's `otlpjsonfile` receiver
//! reads, and `POST /v1/logs` takes.

use serde_json::{Value, json};

use super::Recorded;

pub(in super::super) fn line(recorded: &Recorded<'_>) -> serde_json::Result<String> {
    let data = recorded.data();
    let (severity, severity_text) = severity(&data);
    let nanos = u128::from(recorded.time().unix_millis().unsigned_abs()) * 1_000_000;
    let record = json!({
        "timeUnixNano": nanos.to_string(),
        "observedTimeUnixNano": nanos.to_string(),
        "severityNumber": severity,
        "severityText": severity_text,
        "eventName": format!("sealwright.audit.{}", recorded.kind()),
        "body": any(&data),
        "attributes": [
            attribute("sealwright.record.index", &json!(recorded.index())),
            attribute("sealwright.record.leaf_hash", &json!(recorded.leaf_hash)),
        ],
    });
    let request = json!({ "resourceLogs": [{
        "resource": { "attributes": [
            attribute("service.name", &json!("sealwrightd")),
            attribute("sealwright.log.origin", &json!(recorded.origin)),
        ]},
        "scopeLogs": [{ "scope": { "name": "sealwright.audit" }, "logRecords": [record] }],
    }]});
    serde_json::to_string(&request)
}

/// Refused is a warning, anything else that did not end in a signature an error.
fn severity(data: &Value) -> (u8, &'static str) {
    match data["outcome"].as_str() {
        None | Some("signed") => (9, "INFO"),
        Some("denied") => (13, "WARN"),
        Some(_) => (17, "ERROR"),
    }
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": any(value) })
}

/// An `AnyValue`: in OTLP/JSON a 64-bit number is a string.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(any).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Value::Object(members) => {
            let values: Vec<_> = members
                .iter()
                .map(|(key, value)| attribute(key, value))
                .collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{line_of, view};
    use super::*;

    fn record_of(outcome: Option<&str>) -> Value {
        line_of(line, &view(outcome))["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].clone()
    }

    #[test]
    fn a_record_is_a_log_record_with_its_body_as_a_map_and_numbers_as_text() {
        let record = record_of(Some("signed"));
        assert_eq!(record["timeUnixNano"], "1795593600123000000");
        assert_eq!(record["eventName"], "sealwright.audit.sign");
        assert_eq!(record["attributes"][0]["value"], json!({ "intValue": "7" }));
        let members = record["body"]["kvlistValue"]["values"].as_array().unwrap();
        let member = |key: &str| &members.iter().find(|m| m["key"] == key).unwrap()["value"];
        assert_eq!(member("key_version"), &json!({ "intValue": "2" }));
        assert_eq!(member("once"), &json!({ "boolValue": true }));
        let digests = json!({ "arrayValue": { "values": [{ "stringValue": "ab" }] } });
        assert_eq!(member("signature_sha256"), &digests);
    }

    #[test]
    fn what_was_refused_is_a_warning_and_what_went_wrong_an_error() {
        for (outcome, severity) in [
            (Some("signed"), 9),
            (Some("denied"), 13),
            (Some("failed"), 17),
            (Some("outcome_unknown"), 17),
            (None, 9),
        ] {
            assert_eq!(
                record_of(outcome)["severityNumber"],
                severity,
                "{outcome:?}"
            );
        }
    }
}
