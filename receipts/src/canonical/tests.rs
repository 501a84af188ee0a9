use super::*;
use proptest::prelude::*;
use sealwright_core::error::Code;

fn q4(text: &str) -> String {
    let bytes = canonicalize(text.as_bytes(), Rule::Q4, Nulls::Keep).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn code(text: &[u8]) -> Code {
    let error = canonicalize(text, Rule::Q4, Nulls::Keep).unwrap_err();
    error.code()
}

#[test]
fn keys_are_sorted_by_utf16_and_strings_escaped_as_little_as_possible() {
    let text = "{\"\u{fb33}\":1, \"\u{1f600}\":2.50,\"\\u20ac\":-0,\"a\\\"\\/\":[1e2, \"\\u001f\\u00e9\"]}";
    assert_eq!(
        q4(text),
        "{\"a\\\"/\":[100,\"\\u001f\u{e9}\"],\"\u{20ac}\":0,\"\u{1f600}\":2.5,\"\u{fb33}\":1}"
    );
}

#[test]
fn nulls_of_objects_go_and_those_of_arrays_stay() {
    let text = br#"{"b":null,"a":[null,{"c":null}]}"#;
    let dropped = canonicalize(text, Rule::Q4, Nulls::DropMembers).unwrap();
    assert_eq!(dropped, br#"{"a":[null,{}]}"#);
    assert_eq!(q4(r#"{"b":null}"#), r#"{"b":null}"#);
}

#[test]
fn each_rule_has_its_id_and_its_text_of_a_number() {
    let fixed = canonicalize(b"[7.5,1,\"7.5\"]", Rule::Fixed4, Nulls::Keep).unwrap();
    assert_eq!(fixed, b"[7.5000,1.0000,\"7.5\"]");
    for rule in Rule::ALL {
        assert_eq!(rule.id().parse(), Ok(rule));
    }
    assert!("jcs".parse::<Rule>().is_err());
}

#[test]
fn every_fault_has_a_code_of_its_own() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for (text, expected) in [
        (br#"{"a":NaN}"#.as_slice(), Code::NotANumber),
        (b"[-Infinity]", Code::NotANumber),
        (b"[1e400]", Code::NumberOutOfRange),
        (b"[1e21]", Code::NumberOutOfRange),
        (b"[9007199254740993]", Code::NumberOutOfRange),
        (br#"{"s":"\ud800"}"#, Code::LoneSurrogate),
        (br#"{"\udc00":1}"#, Code::LoneSurrogate),
        (br#"["\ud83d\u0061"]"#, Code::LoneSurrogate),
        (br#"{"a":1,"\u0061":2}"#, Code::DuplicateKey),
        (deep.as_bytes(), Code::NestedTooDeeply),
        (b"[1,]", Code::InvalidJson),
        (b"\xef\xbb\xbf{}", Code::InvalidJson),
        (b"\"\x80\"", Code::InvalidJson),
        (b"", Code::InvalidJson),
        (br#"["\"#, Code::InvalidJson),
    ] {
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
        assert_eq!(code(text), expected, "{shown}");
    }
}

/// A JSON text with numbers of all shapes, strings with and without escapes, and spaces.
fn json_text() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?([eE][+-]?[0-5])?";
    let string = prop_oneof![
        "[a-z]{0,6}".prop_map(|s| format!("\"{s}\"")),
        any::<String>().prop_map(|s| serde_json::Value::from(s).to_string()),
        Just("\"\\u00e9\\ud83d\\ude00\\/\"".to_owned()),
    ];
    let leaf = prop_oneof![
        number,
        string.clone(),
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let element = inner.clone();
        let array =
            prop::collection::vec(element, 0..4).prop_map(|v| format!("[{}]", v.join(" ,")));
        let keys = prop::collection::btree_set(any::<String>(), 0..4);
        let values = prop::collection::vec(inner, 4);
        let object = (keys, values).prop_map(|(keys, values)| {
            let members: Vec<_> = keys
                .iter()
                .zip(values)
                .map(|(key, value)| format!("{} : {value}", serde_json::Value::from(key.as_str())))
                .collect();
            format!("{{{}}}", members.join(",\n"))
        });
        prop_oneof![array, object]
    })
}

proptest! {
    #[test]
    fn the_form_is_a_fixed_point_of_itself_and_of_rfc_8785(text in json_text()) {
        if let Ok(once) = canonicalize(text.as_bytes(), Rule::Q4, Nulls::Keep) {
            prop_assert_eq!(&canonicalize(&once, Rule::Q4, Nulls::Keep).unwrap(), &once);
            prop_assert_eq!(&json::canonicalize(&once).unwrap(), &once);
            let value: serde_json::Value = serde_json::from_slice(&once).unwrap();
            prop_assert_eq!(&serde_json_canonicalizer::to_vec(&value).unwrap(), &once);
        }
    }

    #[test]
    fn both_rules_agree_on_the_numbers(text in json_text()) {
        let fixed = canonicalize(text.as_bytes(), Rule::Fixed4, Nulls::Keep);
        let q4 = canonicalize(text.as_bytes(), Rule::Q4, Nulls::Keep);
        prop_assert_eq!(fixed.is_ok(), q4.is_ok());
        if let (Ok(fixed), Ok(q4)) = (fixed, q4) {
            prop_assert_eq!(canonicalize(&fixed, Rule::Q4, Nulls::Keep).unwrap(), q4);
        }
    }

    #[test]
    fn whatever_arrives_is_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = canonicalize(&bytes, Rule::Q4, Nulls::DropMembers);
        let _ = read::diagnose(&bytes);
    }

    #[test]
    fn a_text_of_json_signs_is_answered_without_a_panic(text in "[\\[\\]{}\",:0-9eE.+\\\\ucdNaI-]{0,40}") {
        let _ = canonicalize(text.as_bytes(), Rule::Fixed4, Nulls::Keep);
        let _ = read::diagnose(text.as_bytes());
    }
}
