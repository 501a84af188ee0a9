//! Access tokens in the form of a JSON Web Token (RFC 9068).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::bound::TokenFacts;
use super::claims::{Audience, Confirmation, NumericDate, Scopes};
use crate::jose::{Compact, JoseError, JwkSet};
use crate::name::Tenant;
use crate::scheme::Scheme;
use crate::sign::Verifier;
use crate::time::Timestamp;

/// Longest access token in characters.
pub const ACCESS_MAX: usize = 8 << 10;
/// Longest name of an issuer, subject or client in bytes.
const NAME_MAX: usize = 512;

/// Who issues tokens that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`, compared byte by byte.
    pub id: String,
    /// Its keys.
    pub keys: JwkSet,
    /// The algorithms that are taken of it.
    pub algorithms: Vec<Scheme>,
    /// Whom its tokens speak of.
    pub tenant: TenantOf,
}

/// How a token's tenant is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantOf {
    /// All tokens of the issuer are of this one.
    Fixed(Tenant),
    /// The claim of this name says so.
    Claim(String),
}

/// What a token is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whose tokens count.
    pub issuers: &'a [Issuer],
    /// One of `aud`.
    pub audience: &'a str,
    /// How far the issuer's clock and ours may differ, in seconds.
    pub skew_s: u32,
}

/// Why a token does not count. All of them are `invalid_token` (RFC 6750 section 3.1).
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Form, algorithm, key or signature.
    #[error("the access token: {0}")]
    Jose(#[from] JoseError),
    /// An issuer that is not configured.
    #[error("the access token is of issuer {0:?}, whose tokens are not accepted here")]
    UnknownIssuer(String),
    /// A text beyond its limit, or empty.
    #[error("the access token's {0} is empty or has more than {NAME_MAX} bytes")]
    Name(&'static str),
    /// For somebody else.
    #[error("the access token is not for audience {0:?}")]
    OtherAudience(String),
    /// It ran out.
    #[error("the access token ran out at {0}")]
    Expired(Timestamp),
    /// `nbf` or `iat` lie ahead.
    #[error("the access token counts only from {0}; do the clocks differ?")]
    NotYet(Timestamp),
    /// The claim that names the tenant is missing or names none.
    #[error("the access token's claim {0:?} names no tenant")]
    NoTenant(String),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    client_id: String,
    aud: Audience,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[expect(dead_code, reason = "RFC 9068 section 2.2 requires it")]
    jti: String,
    #[serde(default)]
    scope: Scopes,
    #[serde(default)]
    cnf: Confirmation,
}

/// A token that its issuer signed and that counts here and now, in whoever's hands it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub(super) facts: TokenFacts,
    pub(super) scopes: Vec<String>,
    pub(super) tenant: Tenant,
}

impl AccessToken {
    /// Verifies `text` at `now`.
    pub fn verify(
        text: &str,
        expected: &Expected<'_>,
        now: Timestamp,
        verifier: &dyn Verifier,
    ) -> Result<Self, TokenError> {
        let compact = Compact::parse(text, ACCESS_MAX)?;
        compact.require_type("at+jwt")?;
        let claims: Claims = compact.claims()?;
        let issuer = expected.issuers.iter().find(|one| one.id == claims.iss);
        let issuer = issuer.ok_or_else(|| {
            TokenError::UnknownIssuer(claims.iss.chars().take(NAME_MAX).collect())
        })?;
        let scheme = compact.scheme(&issuer.algorithms)?;
        compact.verify(scheme, issuer.keys.find(&compact, scheme)?, verifier)?;
        claims.check_time(now, expected.skew_s)?;
        if !claims.aud.0.iter().any(|aud| aud == expected.audience) {
            return Err(TokenError::OtherAudience(expected.audience.to_owned()));
        }
        claims.check_names()?;
        let tenant = tenant(&issuer.tenant, &compact)?;
        Ok(claims.into_token(tenant))
    }

    /// Who it is of, for a record.
    pub fn facts(&self) -> &TokenFacts {
        &self.facts
    }
}

fn tenant(of: &TenantOf, compact: &Compact<'_>) -> Result<Tenant, TokenError> {
    match of {
        TenantOf::Fixed(tenant) => Ok(tenant.clone()),
        TenantOf::Claim(name) => {
            let claims: Map<String, Value> = compact.claims()?;
            let found = claims.get(name).and_then(Value::as_str);
            found
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| TokenError::NoTenant(name.clone()))
        }
    }
}

impl Claims {
    fn check_time(&self, now: Timestamp, skew_s: u32) -> Result<(), TokenError> {
        let (now, skew) = (now.unix_seconds(), i64::from(skew_s));
        if self.exp.0 <= now - skew {
            return Err(TokenError::Expired(time(self.exp)));
        }
        let begins = self.nbf.map_or(self.iat, |nbf| nbf.max(self.iat));
        if begins.0 > now + skew {
            return Err(TokenError::NotYet(time(begins)));
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), TokenError> {
        let names = [("sub", &self.sub), ("client_id", &self.client_id)];
        let bad = names
            .into_iter()
            .find(|(_, name)| !(1..=NAME_MAX).contains(&name.len()));
        bad.map_or(Ok(()), |(claim, _)| Err(TokenError::Name(claim)))
    }

    fn into_token(self, tenant: Tenant) -> AccessToken {
        AccessToken {
            facts: TokenFacts {
                issuer: self.iss,
                subject: self.sub,
                client_id: self.client_id,
                jkt: self.cnf.jkt,
                x5t_s256: self.cnf.x5t,
            },
            scopes: self.scope.0.into_iter().collect(),
            tenant,
        }
    }
}

fn time(date: NumericDate) -> Timestamp {
    Timestamp::from_unix_millis(date.0 * 1000)
}
