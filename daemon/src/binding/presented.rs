//! The access token in a request's headers, and what came along with it.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sealwright_core::error::Code;

use crate::refusal::Refusal;

/// Header of proofs.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A token as it was sent. Neither part is ever logged.
pub enum Presented {
    /// `Authorization: Bearer`.
    Bearer(String),
    /// `Authorization: DPoP` with a `DPoP` header.
    Dpop {
        /// The access token.
        token: String,
        /// The proof.
        proof: String,
    },
}

impl Presented {
    /// Reads the headers; nothing where there is no token.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let proof = one(headers, &DPOP, Code::InvalidDpopProof)?;
        let Some(authorization) = one(headers, &AUTHORIZATION, Code::InvalidRequest)? else {
            return match proof {
                None => Ok(None),
                Some(_) => Err(bad_proof("a DPoP proof came without an access token")),
            };
        };
        let (scheme, token) = authorization.split_once(' ').unwrap_or_default();
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        let token = token.trim_start_matches(' ').to_owned();
        match proof {
            _ if token.is_empty() || !(is("DPoP") || is("Bearer")) => {
                let detail = "Authorization is DPoP or Bearer, then a space and an access token";
                Err(Refusal::bad_input(Code::InvalidRequest, detail))
            }
            Some(proof) if is("DPoP") => Ok(Some(Self::Dpop { token, proof })),
            Some(_) => Err(bad_proof(
                "a DPoP proof goes with an access token that is sent as DPoP",
            )),
            None if is("DPoP") => Err(bad_proof(
                "an access token that is sent as DPoP needs a DPoP proof",
            )),
            None => Ok(Some(Self::Bearer(token))),
        }
    }

    /// The access token.
    pub fn token(&self) -> &str {
        match self {
            Self::Bearer(token) | Self::Dpop { token, .. } => token,
        }
    }
}

fn bad_proof(detail: &str) -> Refusal {
    Refusal::bad_input(Code::InvalidDpopProof, detail)
}

fn one(headers: &HeaderMap, name: &HeaderName, code: Code) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let text = |value: &HeaderValue| {
        let text = value.to_str().ok().map(str::to_owned);
        text.ok_or_else(|| Refusal::bad_input(code, format!("{name} is not visible ASCII")))
    };
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => text(value).map(Some),
        (Some(_), Some(_)) => Err(Refusal::bad_input(code, format!("{name} stands twice"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&'static str, &'static str)]) -> Result<Option<Presented>, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Presented::read(&headers).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_token_comes_alone_or_with_one_proof() {
        assert!(matches!(read(&[]), Ok(None)));
        let bearer = read(&[("authorization", "bearer  a.b.c")]);
        assert!(matches!(bearer, Ok(Some(Presented::Bearer(token))) if token == "a.b.c"));
        let dpop = read(&[("authorization", "DPoP a"), ("dpop", "p")]);
        assert!(
            matches!(dpop, Ok(Some(Presented::Dpop { token, proof })) if token == "a" && proof == "p")
        );
    }

    #[test]
    fn headers_that_do_not_go_together_are_refused() {
        let cases: [(&[(&str, &str)], Code); 8] = [
            (
                &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
                Code::InvalidRequest,
            ),
            (&[("authorization", "Basic YTpi")], Code::InvalidRequest),
            (&[("authorization", "Bearer")], Code::InvalidRequest),
            (&[("authorization", "Bearer ")], Code::InvalidRequest),
            (&[("authorization", "DPoP a")], Code::InvalidDpopProof),
            (
                &[("authorization", "Bearer a"), ("dpop", "p")],
                Code::InvalidDpopProof,
            ),
            (&[("dpop", "p")], Code::InvalidDpopProof),
            (
                &[("authorization", "DPoP a"), ("dpop", "p"), ("dpop", "p")],
                Code::InvalidDpopProof,
            ),
        ];
        for (lines, code) in cases {
            assert_eq!(read(lines).err(), Some(code), "{lines:?}");
        }
    }
}
