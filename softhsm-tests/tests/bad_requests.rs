//! Requests that are wrong before their payload matters: keys, parameters, headers, HTTP and TLS themselves.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;

use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::{Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::{assert_denied, refusals, text, without_using_a_key};

const STATEMENT: &str = "application/vnd.in-toto+json";

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
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
        assert!(answer.record().is_some(), "{query} is not recorded");
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
        assert!(answer.record().is_some(), "it is not recorded");
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
