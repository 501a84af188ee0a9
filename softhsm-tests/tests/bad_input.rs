//! Whatever a caller sends wrong, it is told what, nothing is signed, and the connection or the next one works.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;

use sealwright_softhsm_tests::site::http::{Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{DEFAULT_POLICY, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::{assert_denied, text, without_using_a_key};

const STATEMENT: &str = "application/vnd.in-toto+json";

fn site() -> Site {
    limited(&[])
}

fn limited(limits: &[&str]) -> Site {
    let builder = limits
        .iter()
        .fold(Site::builder(), |builder, line| builder.limit(line));
    builder
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

/// Sends requests one by one while a used key would be noticed; then shows that the site still signs.
fn refusals(site: &Site, requests: &[Request]) -> Vec<Response> {
    let client = site.client();
    let answers = without_using_a_key(site, "soft", || {
        requests
            .iter()
            .map(|request| client.send(request))
            .collect()
    });
    client.sign("key=release", &statement("after")).ok();
    answers
}

/// A statement with one member changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(&statement("a")).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_announced_length_and_by_its_real_one() {
    let site = limited(&["max_body = 10000"]);
    let announced = Request::sign("key=release", &vec![b'x'; 10_001]);
    let chunked = Request::new("POST", "/v1/sign?key=release")
        .header("Content-Type", STATEMENT)
        .header("Transfer-Encoding", "chunked");
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 10_001, "x".repeat(10_001));
    without_using_a_key(&site, "soft", || {
        // Only the head: the answer must not wait for a body that is refused anyway.
        let mut connection = site.client().connect();
        connection.write(&announced.head_bytes()).unwrap();
        let answer = connection.read().unwrap();
        assert_eq!(answer.status, 413);
        assert_denied(&site, &answer, "payload_too_large");

        let mut connection = site.client().connect();
        connection.write(&chunked.head_bytes()).unwrap();
        connection.write(chunk.as_bytes()).unwrap();
        let answer = connection.read().unwrap();
        assert_denied(&site, &answer, "payload_too_large");
        assert!(text(&answer.json(), "detail").contains("10000"));
    });
    site.client().sign("key=release", &statement("after")).ok();
}

#[test]
fn a_body_of_exactly_the_limit_is_signed() {
    let payload = statement("a");
    let site = limited(&[&format!("max_body = {}", payload.len())]);
    site.client().sign("key=release", &payload).ok();
}

#[test]
fn a_body_that_trickles_in_is_given_up_in_time() {
    let site = limited(&["body_ms = 300"]);
    let request = Request::sign("key=release", &statement("a"));
    without_using_a_key(&site, "soft", || {
        let mut connection = site.client().connect();
        let bytes = request.bytes();
        connection.write(&bytes[..bytes.len() - 1]).unwrap();
        let answer = connection.read().unwrap();
        assert_eq!(answer.status, 408);
        assert_denied(&site, &answer, "body_timeout");
        connection.read_to_close();
    });
}

#[test]
fn a_body_that_breaks_off_is_recorded_and_signs_nothing() {
    let site = site();
    let request = Request::sign("key=release", &statement("a"));
    without_using_a_key(&site, "soft", || {
        let mut connection = site.client().connect();
        let bytes = request.bytes();
        connection.write(&bytes[..bytes.len() - 1]).unwrap();
        drop(connection);
        let broken = || {
            let records = site.records("sign");
            records
                .into_iter()
                .find(|record| text(record, "reason").contains("broke off"))
        };
        let record = wait_for("the record", SOON, broken);
        assert_eq!(
            (text(&record, "outcome"), text(&record, "code")),
            ("denied", "invalid_request")
        );
    });
}

#[test]
fn a_payload_type_the_key_does_not_sign_is_refused() {
    let site = site();
    let types = [
        "text/plain",
        "application/vnd.in-toto+JSON",
        "application/vnd.in-toto+json; charset=utf-8",
    ];
    let requests = types.map(|kind| Request::sign_as("key=release", kind, &statement("a")));
    for answer in refusals(&site, &requests) {
        assert_eq!(answer.status, 415);
        assert_denied(&site, &answer, "unsupported_payload_type");
    }
}

#[test]
fn a_statement_that_breaks_a_rule_is_refused_and_told_which() {
    // A policy that names a predicate type does not make a broken one good.
    let named = "@id(\"named\") permit (principal, action == Sealwright::Action::\"sign\", resource) when \
                 { context has predicate_type && context.predicate_type == \"https://slsa.dev/provenance/v1\" };";
    let token = TokenSpec::scripted("soft").key("release");
    let site = Site::builder()
        .token(token)
        .policy(&format!("{DEFAULT_POLICY}{named}"))
        .start();
    let cases = [
        (changed(|s| s["subject"][0]["digest"] = json!({})), "digest"),
        (
            changed(|s| drop(s["subject"][0].as_object_mut().unwrap().remove("digest"))),
            "digest",
        ),
        (changed(|s| s["subject"] = json!([])), "subject"),
        (
            changed(|s| s["subject"][0]["digest"]["sha256"] = json!("ABCD")),
            "sha256",
        ),
        (
            changed(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1")),
            "v0.1",
        ),
        (
            changed(|s| drop(s["predicate"].as_object_mut().unwrap().remove("runDetails"))),
            "runDetails",
        ),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|(payload, _)| Request::sign("key=release", payload))
        .collect();
    for (answer, (payload, word)) in refusals(&site, &requests).iter().zip(&cases) {
        let payload = String::from_utf8_lossy(payload);
        assert_eq!(
            answer.code(),
            "invalid_statement",
            "{payload}: {}",
            answer.text()
        );
        assert_denied(&site, answer, "invalid_statement");
        let detail = answer.json();
        assert!(
            text(&detail, "detail").contains(word),
            "{payload}: {detail}"
        );
    }
}

#[test]
fn bytes_that_are_not_strict_json_are_refused() {
    let site = site();
    let good = String::from_utf8(statement("a")).unwrap();
    let twice = good.replacen('{', "{\"_type\":\"https://in-toto.io/Statement/v1\",", 1);
    let deep = changed(|s| s["predicate"]["x"] = json!(1));
    let deep = String::from_utf8(deep).unwrap().replace(
        "\"x\":1",
        &format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200)),
    );
    let mut latin1 = good.clone().into_bytes();
    let at = latin1.iter().rposition(|b| *b == b'a').unwrap();
    latin1[at] = 0xe4;
    let cases = [
        twice.into_bytes(),
        good.replace("\"buildType\"", "\"buildType\":\"b\",\"buildType\"")
            .into_bytes(),
        deep.into_bytes(),
        latin1,
        good.as_bytes()[..good.len() - 1].to_vec(),
        format!("{good}x").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        Vec::new(),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|payload| Request::sign("key=release", payload))
        .collect();
    for (answer, payload) in refusals(&site, &requests).iter().zip(&cases) {
        assert_eq!(
            answer.code(),
            "invalid_json",
            "{}",
            String::from_utf8_lossy(payload)
        );
        assert_denied(&site, answer, "invalid_json");
    }
}

#[test]
fn a_predicate_type_that_nobody_named_is_refused() {
    let site = site();
    let payload = changed(|s| s["predicateType"] = json!("https://example.test/unknown/v1"));
    for answer in refusals(&site, &[Request::sign("key=release", &payload)]) {
        assert_eq!(answer.status, 422);
        assert_denied(&site, &answer, "unsupported_predicate_type");
    }
}

#[test]
fn an_unknown_key_is_refused_before_the_body_and_recorded() {
    let site = site();
    without_using_a_key(&site, "soft", || {
        for key in ["missing", "default/missing"] {
            let mut connection = site.client().connect();
            let request = Request::sign(&format!("key={key}"), &statement("a"));
            connection.write(&request.head_bytes()).unwrap();
            let answer = connection.read().unwrap();
            assert_eq!(answer.status, 404);
            assert_denied(&site, &answer, "unknown_key");
            let record = site.record(answer.record().unwrap());
            assert_eq!(text(&record, "key"), "default/missing");
        }
    });
}

#[test]
fn one_bad_key_among_several_signs_nothing() {
    let site = site();
    let request = Request::sign("key=release&key=missing", &statement("a"));
    for answer in refusals(&site, &[request]) {
        assert_denied(&site, &answer, "unknown_key");
    }
}

#[test]
fn parameters_that_are_unknown_repeated_missing_or_out_of_range_are_named() {
    let site = site();
    let nine = (0..9)
        .map(|n| format!("key=k{n}"))
        .collect::<Vec<_>>()
        .join("&");
    let cases = [
        ("key=release&colour=blue", "colour"),
        ("key=release&format=dsse&format=bundle", "format"),
        ("key=release&format=xml", "xml"),
        ("key=release&key=release", "twice"),
        ("key=release&key=other&format=bundle", "bundle"),
        ("key=release&timeout_ms=0", "timeout_ms"),
        ("key=release&timeout_ms=600001", "timeout_ms"),
        ("key=release&timeout_ms=soon", "timeout_ms"),
        ("key=release&timeout_ms=1&timeout_ms=2", "timeout_ms"),
        ("key=Release", "Release"),
        ("key=a%2Fb%2Fc", "b/c"),
        ("key=", "label"),
        ("", "1 to 8 keys"),
        (&nine, "1 to 8 keys"),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|(query, _)| Request::sign(query, &statement("a")))
        .collect();
    for (answer, (query, word)) in refusals(&site, &requests).iter().zip(cases) {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_request"),
            "{query}"
        );
        let problem = answer.json();
        assert!(
            text(&problem, "detail").contains(word),
            "{query}: {problem}"
        );
    }
}

#[test]
fn headers_that_are_missing_repeated_or_malformed_are_named() {
    let site = site();
    let bare = || Request::new("POST", "/v1/sign?key=release");
    let good = || bare().header("Content-Type", STATEMENT);
    let long = "k".repeat(129);
    let cases = [
        (bare(), "Content-Type is missing"),
        (
            good().header("Content-Type", STATEMENT),
            "Content-Type stands twice",
        ),
        (bare().header("Content-Type", &"x".repeat(256)), "1 to 255"),
        (
            bare().header("Content-Type", "text/\u{e4}"),
            "visible ASCII",
        ),
        (good().header("Idempotency-Key", ""), "Idempotency-Key"),
        (
            good().header("Idempotency-Key", "two words"),
            "Idempotency-Key",
        ),
        (good().header("Idempotency-Key", &long), "Idempotency-Key"),
        (
            good()
                .header("Idempotency-Key", "a")
                .header("Idempotency-Key", "a"),
            "stands twice",
        ),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|(request, _)| request.clone().body(statement("a")))
        .collect();
    for (answer, (request, word)) in refusals(&site, &requests).iter().zip(cases) {
        assert_eq!(answer.code(), "invalid_request", "{request:?}");
        let problem = answer.json();
        assert!(
            text(&problem, "detail").contains(word),
            "{request:?}: {problem}"
        );
    }
}

#[test]
fn a_head_with_too_many_bytes_or_headers_ends_the_connection_with_431() {
    let site = site();
    let long =
        Request::sign("key=release", &statement("a")).header("X-Filler", &"x".repeat(100 << 10));
    let many = (0..200).fold(
        Request::sign("key=release", &statement("a")),
        |request, n| request.header(&format!("X-{n}"), "x"),
    );
    without_using_a_key(&site, "soft", || {
        for request in [long, many] {
            let mut connection = site.client().connect();
            // The daemon may close before it has read everything.
            let _ = connection.write(&request.bytes());
            assert_eq!(connection.read().unwrap().status, 431);
            connection.read_to_close();
        }
    });
    site.client().sign("key=release", &statement("after")).ok();
}

#[test]
fn bytes_that_are_not_http_or_two_lengths_at_once_end_the_connection() {
    let site = site();
    let two_lengths = "POST /v1/sign?key=release HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.in-toto+json\r\n\
                       Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}";
    without_using_a_key(&site, "soft", || {
        for bytes in ["\0\u{1}\u{2}\r\n\r\n", "SIGN release\r\n\r\n", two_lengths] {
            let mut connection = site.client().connect();
            connection.write(bytes.as_bytes()).unwrap();
            assert_eq!(connection.read().unwrap().status, 400, "{bytes:?}");
            connection.read_to_close();
        }
    });
    site.client().sign("key=release", &statement("after")).ok();
}

#[test]
fn plain_http_and_noise_instead_of_tls_are_closed() {
    let site = site();
    for bytes in [
        &b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff, 0],
        &[0; 64],
    ] {
        let mut stream = site.client().open().unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A TLS alert at most; a reset is an end as well.
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        assert!(answer.len() < 16, "{answer:?}");
    }
    site.client().sign("key=release", &statement("after")).ok();
}

#[test]
fn endpoints_and_methods_that_do_not_exist_have_codes_of_their_own() {
    let site = site();
    let client = site.client();
    assert_eq!(client.get("/v1/nothing").code(), "unknown_endpoint");
    assert_eq!(client.get("/").code(), "unknown_endpoint");
    assert_eq!(client.get("/v1/sign").code(), "method_not_allowed");
    assert_eq!(
        client.send(&Request::new("DELETE", "/v1/keys")).code(),
        "method_not_allowed"
    );
    assert_eq!(
        client.get("/v1/audit/records/999999").code(),
        "unknown_record"
    );
    assert_eq!(client.get("/v1/audit/records/x").code(), "invalid_request");
}

#[test]
fn an_operators_json_is_strict_bounded_and_refused_from_others() {
    let site = site();
    let operator = site.operator();
    let uri = site.token("soft").uri("release");
    let describe = |body: &Value| operator.post("/v1/keys/describe", body);
    assert_eq!(
        describe(&json!({"token": "soft", "uri": uri, "pin": "1"})).code(),
        "invalid_json"
    );
    assert_eq!(describe(&json!({"token": "soft"})).code(), "invalid_json");
    assert_eq!(
        describe(&json!({"token": "soft", "uri": "x".repeat(70_000)})).code(),
        "payload_too_large"
    );
    assert_eq!(
        describe(&json!({"token": "other", "uri": uri})).code(),
        "unknown_token"
    );
    let twice = format!("{{\"token\":\"soft\",\"token\":\"soft\",\"uri\":\"{uri}\"}}");
    let request = Request::new("POST", "/v1/keys/describe").body(twice.into_bytes());
    assert_eq!(operator.send(&request).code(), "invalid_json");
    let mine = json!({"token": "soft", "uri": uri});
    assert_eq!(
        site.client().post("/v1/keys/describe", &mine).code(),
        "denied"
    );
}
