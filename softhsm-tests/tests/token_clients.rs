//! Tokens as other people's programs get and show them.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use sealwright_softhsm_tests::site::pki::{Identity, Leaf};
use sealwright_softhsm_tests::site::{CI, Site, TokenSpec, statement};
use serde_json::json;
use support::tokens::{Holder, ISSUER, Issuer};
use support::without_using_a_key;
use tempfile::TempDir;

const POLICY: &str = r#"
@id("release") @token("bound")
permit (principal in Sealwright::Role::"client", action == Sealwright::Action::"sign", resource)
unless { context has token && !context.token.scopes.contains("signer.sign") };
@id("keys")
permit (principal, action in [Sealwright::Action::"manageKey", Sealwright::Action::"readAudit"], resource);
"#;

/// A site, its issuer, and a folder with what a caller needs.
struct Callers {
    site: Site,
    issuer: Issuer,
    ci: Identity,
    folder: TempDir,
}

impl Callers {
    fn start() -> Self {
        let issuer = Issuer::new();
        let config = format!("[[security.issuer]]\nid = '{ISSUER}'\njwks = 'as.json'\n");
        let site = Site::builder()
            .token(TokenSpec::scripted("soft").key("release"))
            .policy(POLICY)
            .config(&config)
            .file("as.json", &issuer.jwks())
            .start();
        let ci = site.authority().client(&Leaf::uri(CI));
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
        put("ca.pem", site.authority().pem().as_bytes());
        put("cert.pem", ci.certificate_pem().as_bytes());
        put("key.pem", ci.key_pem().as_bytes());
        put("statement.json", &statement("a"));
        put("socket", site.socket().to_string_lossy().as_bytes());
        put("as.jwk", issuer.private_jwk().as_bytes());
        Self {
            site,
            issuer,
            ci,
            folder,
        }
    }

    fn curl(&self, more: &[&str]) -> Output {
        Command::new("curl")
            .current_dir(self.folder.path())
            .args(["--silent", "--show-error", "--include", "--unix-socket"])
            .arg(self.site.socket())
            .args([
                "--cacert", "ca.pem", "--cert", "cert.pem", "--key", "key.pem",
            ])
            .args(["-H", "Content-Type: application/vnd.in-toto+json"])
            .args(["--data-binary", "@statement.json"])
            .args(more)
            .arg("https://sealwright.localhost/v1/sign?key=release")
            .output()
            .unwrap()
    }
}

#[test]
fn curl_signs_with_a_token_that_is_bound_to_its_certificate() {
    let callers = Callers::start();
    let refused = without_using_a_key(&callers.site, "soft", || callers.curl(&[]));
    let text = String::from_utf8(refused.stdout).unwrap();
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    let x5t = Holder::x5t(&callers.ci);
    let claims = callers.issuer.claims(json!({ "x5t#S256": x5t }));
    let bearer = format!("Authorization: Bearer {}", callers.issuer.token(&claims));
    let signed = callers.curl(&["-H", &bearer]);
    let text = String::from_utf8(signed.stdout).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
#[ignore = "`make test-interop` runs it: it needs Node and packages from npm"]
fn a_token_of_oidc_provider_in_the_hands_of_oauth4webapi_signs() {
    let callers = Callers::start();
    let modules = std::env::var_os("SEALWRIGHT_INTEROP").expect("the folder with node_modules");
    let modules = Path::new(&modules);
    let output = Command::new(modules.join("node_modules/node/bin/node"))
        .current_dir(modules)
        .arg("dpop.mjs")
        .arg(callers.folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    // Once of the server and once of the daemon; the second signature needed no new one.
    assert_eq!(text.matches("asked for a nonce").count(), 2, "{text}");
    assert_eq!(text.matches("signed, record").count(), 2, "{text}");
}
