//! The client against a small server: who is believed, and what each failure is called.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use sealwright_client::{Client, ClientError, Format, SignRequest};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use support::{Ca, Leaf, serve, settings};

const NAME: &str = "sealwright.localhost";

fn ok(body: &str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(body.to_owned())))
}

fn echo(target: &str, _: Bytes) -> Response<Full<Bytes>> {
    ok(target)
}

fn pair(ca: &Ca) -> (Leaf, Leaf) {
    (ca.server(NAME), ca.client())
}

#[tokio::test]
async fn a_call_reaches_the_endpoint_under_the_servers_name() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let (server, client) = pair(&ca);
    serve(folder.path(), &ca, server, usize::MAX, echo);
    let mut client = Client::connect(settings(folder.path(), &ca, &client))
        .await
        .unwrap();
    let seen = client.proof(7, true).await.unwrap();
    assert_eq!(
        seen,
        "GET /v1/log/proof/7?wait=true Some(\"sealwright.localhost\")"
    );
}

#[tokio::test]
async fn a_connection_that_the_daemon_closed_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let (server, client) = pair(&ca);
    serve(folder.path(), &ca, server, 1, echo);
    let mut client = Client::connect(settings(folder.path(), &ca, &client))
        .await
        .unwrap();
    for _ in 0..3 {
        client.checkpoint().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_of_another_ca_or_name_is_not_believed() {
    for (name, other_ca) in [(NAME, true), ("localhost", false)] {
        let folder = tempfile::tempdir().unwrap();
        let (ca, other) = (Ca::new(), Ca::new());
        let issuer = if other_ca { &other } else { &ca };
        serve(folder.path(), &ca, issuer.server(name), usize::MAX, echo);
        let error = Client::connect(settings(folder.path(), &ca, &ca.client()))
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Server { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_refused_client_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new(), Ca::new());
    serve(folder.path(), &ca, ca.server(NAME), usize::MAX, echo);
    let mut client = Client::connect(settings(folder.path(), &ca, &other.client()))
        .await
        .unwrap();
    let error = client.checkpoint().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Certificate { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("client.pem"), "{error}");
}

#[tokio::test]
async fn each_missing_or_unusable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let good = settings(folder.path(), &ca, &ca.client());
    let error = Client::connect(good.clone()).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("api.sock"), "{error}");
    for file in ["client.pem", "client.key", "ca.pem"] {
        let path = folder.path().join(file);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, "nothing").unwrap();
        let error = Client::connect(good.clone()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Pem { path, .. } if path.ends_with(file)),
            "{error:?}"
        );
        std::fs::remove_file(&path).unwrap();
        let error = Client::connect(good.clone()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Pem { path, .. } if path.ends_with(file)),
            "{error:?}"
        );
        std::fs::write(&path, text).unwrap();
    }
    // Well-formed, but of another certificate.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = settings(elsewhere.path(), &ca, &ca.client());
    std::fs::copy(&other.key, &good.key).unwrap();
    assert!(matches!(
        Client::connect(good).await,
        Err(ClientError::Pem { .. })
    ));
}

#[tokio::test]
async fn a_problem_document_becomes_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let (server, client) = pair(&ca);
    serve(folder.path(), &ca, server, usize::MAX, |_, _| {
        let body = "{\"type\":\"/errors#denied\",\"title\":\"Not allowed\",\"status\":403,\"code\":\"denied\",\"request_id\":\"r1\"}";
        let mut response = ok(body);
        *response.status_mut() = hyper::StatusCode::FORBIDDEN;
        response
            .headers_mut()
            .insert("content-type", "application/problem+json".parse().unwrap());
        response
    });
    let mut client = Client::connect(settings(folder.path(), &ca, &client))
        .await
        .unwrap();
    for _ in 0..2 {
        let Err(ClientError::Api(error)) = client.status().await else {
            panic!("not an ApiError")
        };
        assert_eq!(error.known_code(), Some(Code::Denied));
        assert_eq!(
            (error.status, error.request_id.as_str(), &error.detail),
            (403, "r1", &None)
        );
    }
}

fn signed(target: &str, body: Bytes) -> Response<Full<Bytes>> {
    // "wrong" as key: an answer whose digest is that of other bytes.
    let digest = Sha256Digest::of(&[if target.contains("wrong") {
        b"other"
    } else {
        &body[..]
    }]);
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert("sealwright-record", "42".parse().unwrap());
    headers.insert("sealwright-request-id", "r2".parse().unwrap());
    headers.insert(
        "sealwright-digest",
        format!("sha256:{digest}").parse().unwrap(),
    );
    response
}

#[tokio::test]
async fn a_signature_comes_with_its_record_and_only_with_the_bytes_it_was_recorded_with() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let (server, client) = pair(&ca);
    serve(folder.path(), &ca, server, usize::MAX, signed);
    let mut client = Client::connect(settings(folder.path(), &ca, &client))
        .await
        .unwrap();
    let keys = ["release".to_owned()];
    let signed = client
        .sign(SignRequest::statement(&keys, Format::Dsse, "{}"))
        .await
        .unwrap();
    assert_eq!(
        (&signed.body[..], signed.record, signed.replayed),
        (&b"{}"[..], 42, false)
    );
    assert_eq!(signed.request_id, "r2");
    let keys = ["wrong".to_owned()];
    let error = client
        .sign(SignRequest::statement(&keys, Format::Dsse, "{}"))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unexpected(_)), "{error:?}");
}
