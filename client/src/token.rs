//! An access token that goes along with every request, and the proofs that make it good (RFC 9449).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_core::token::{ProofContents, UnsignedProof};

use crate::error::ClientError;
use crate::settings::SERVER_NAME;
use crate::tls::bad;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: &str = "dpop-nonce";

/// Where the token and the key that it is bound to lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFiles {
    /// The access token, as text (`SEALWRIGHT_TOKEN_FILE`). Read for every request: whoever renews it replaces the file.
    pub token: Option<PathBuf>,
    /// The P-256 key of its proofs, PKCS#8 in PEM (`SEALWRIGHT_DPOP_KEY`). Without one the token is sent as Bearer, for
    /// those that are bound to the client certificate alone.
    pub dpop_key: Option<PathBuf>,
}

/// What goes along.
pub(crate) struct Token {
    file: PathBuf,
    key: Option<ProofKey>,
    /// The daemon's newest.
    nonce: Option<String>,
}

struct ProofKey {
    key: SigningKey,
    spki: Spki,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Reads the key; nothing where there is no token.
    pub(crate) fn open(files: &TokenFiles) -> Result<Option<Self>, ClientError> {
        let Some(file) = files.token.clone() else {
            return Ok(None);
        };
        let key = files.dpop_key.as_deref().map(ProofKey::read).transpose()?;
        Ok(Some(Self {
            file,
            key,
            nonce: None,
        }))
    }

    /// Adds the token to `request`, with a proof for this request alone.
    pub(crate) fn add_to<B>(&self, request: &mut Request<B>) -> Result<(), ClientError> {
        let token = std::fs::read_to_string(&self.file)
            .map_err(|e| bad(&self.file, format!("cannot be read: {e}")))?;
        let token = token.trim();
        let (method, target) = (
            request.method().as_str().to_owned(),
            format!("https://{SERVER_NAME}{}", request.uri().path()),
        );
        let scheme = match &self.key {
            None => "Bearer",
            Some(key) => {
                let proof = key.proof(&method, &target, token, self.nonce.as_deref())?;
                request.headers_mut().insert(DPOP, sensitive(&proof)?);
                "DPoP"
            }
        };
        let value = sensitive(&format!("{scheme} {token}"))
            .map_err(|_| bad(&self.file, "holds no access token"))?;
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Keeps the nonce of an answer for the next proofs.
    pub(crate) fn note(&mut self, headers: &HeaderMap) {
        let nonce = headers
            .get(DPOP_NONCE)
            .and_then(|value| value.to_str().ok());
        if let Some(nonce) = nonce {
            self.nonce = Some(nonce.to_owned());
        }
    }
}

impl ProofKey {
    fn read(path: &Path) -> Result<Self, ClientError> {
        let text =
            std::fs::read_to_string(path).map_err(|e| bad(path, format!("cannot be read: {e}")))?;
        let key = SigningKey::from_pkcs8_pem(&text)
            .map_err(|_| bad(path, "is not a P-256 key in PKCS#8 PEM; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 makes one"))?;
        let spki = key.verifying_key().to_public_key_der();
        let spki = spki.map_err(|e| bad(path, e.to_string()))?;
        Ok(Self {
            key,
            spki: Spki::from_der(spki.into_vec()),
        })
    }

    fn proof(
        &self,
        method: &str,
        target: &str,
        token: &str,
        nonce: Option<&str>,
    ) -> Result<String, ClientError> {
        let jti = uuid::Uuid::new_v4().to_string();
        let contents = ProofContents {
            method,
            target,
            made: now(),
            jti: &jti,
            token: Some(token),
            nonce,
        };
        let unsigned = UnsignedProof::new(&self.spki, Scheme::EcdsaP256Sha256, &contents)
            .map_err(|e| ClientError::Request(e.to_string()))?;
        let signature: p256::ecdsa::Signature = self.key.sign(unsigned.message());
        Ok(unsigned.signed(&signature.to_bytes()))
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(text).map_err(|e| ClientError::Request(e.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use p256::pkcs8::EncodePrivateKey as _;
    use sealwright_core::token::{Asked, Proof, Target, Window};
    use sealwright_core::verify::RustCrypto;

    use super::*;

    #[test]
    fn each_request_gets_a_proof_of_its_own_with_the_newest_nonce() {
        let dir = tempfile::tempdir().unwrap();
        let (token, key) = (dir.path().join("token"), dir.path().join("key.pem"));
        std::fs::write(&token, "abc\n").unwrap();
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let pem = signing.to_pkcs8_pem(Default::default()).unwrap();
        std::fs::write(&key, pem.as_bytes()).unwrap();
        let files = TokenFiles {
            token: Some(token),
            dpop_key: Some(key),
        };
        let mut token = Token::open(&files).unwrap().unwrap();
        let mut answer = HeaderMap::new();
        answer.insert(DPOP_NONCE, HeaderValue::from_static("n1"));
        token.note(&answer);
        let target = Target::parse("https://sealwright.localhost/v1/sign").unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut request = Request::post("/v1/sign?key=release").body(()).unwrap();
            token.add_to(&mut request).unwrap();
            assert_eq!(request.headers()["authorization"], "DPoP abc");
            let asked = Asked {
                method: "POST",
                target: &target,
                token: Some("abc"),
            };
            let window = Window {
                past_s: 60,
                future_s: 5,
            };
            let text = request.headers()["dpop"].to_str().unwrap();
            let algorithms = [Scheme::EcdsaP256Sha256];
            let proof = Proof::check(text, &asked, &algorithms, (now(), window), &RustCrypto);
            let proof = proof.unwrap();
            assert_eq!(proof.nonce.as_deref(), Some("n1"));
            seen.push(proof.jti_sha256);
        }
        assert_ne!(seen[0], seen[1]);
    }

    #[test]
    fn what_is_no_key_or_no_token_is_named_by_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, "no key\n\u{7}").unwrap();
        let files = TokenFiles {
            token: Some(path.clone()),
            dpop_key: Some(path.clone()),
        };
        let error = Token::open(&files).unwrap_err().to_string();
        assert!(
            error.contains("key.pem") && error.contains("P-256"),
            "{error}"
        );
        let files = TokenFiles {
            token: Some(path),
            dpop_key: None,
        };
        let token = Token::open(&files).unwrap().unwrap();
        let mut request = Request::get("/v1/status").body(()).unwrap();
        let error = token.add_to(&mut request).unwrap_err().to_string();
        assert!(error.contains("holds no access token"), "{error}");
    }
}
