//! Stage *bind token*: an access token counts only in the hands of whom it was issued to.
//!
//! What is decided is `sealwright_core::token`'s; here are the clock, the store, the issuers' keys, and the answers.

mod embedded;
mod enforced;
mod issuers;
mod presented;
mod store;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, WWW_AUTHENTICATE};
use sealwright_core::error::Code;
use sealwright_core::jose::name_of;
use sealwright_core::scheme::Scheme;
use sealwright_core::time::Timestamp;
use sealwright_core::token::{
    AccessToken, Asked, BindError, BoundToken, Expected, Presented as Shown, Proof, Target,
    TokenFacts, Window,
};

use crate::authn::{Caller, ClientIdentity};
use crate::config::security::{Security, SenderConstraints, schemes};
use crate::holder::Holder;
use crate::http::{self, Answer};
use crate::metrics::BindingCounts;
use crate::refusal::Refusal;
use crate::verifier::AwsLcVerifier;

pub use self::embedded::{Bounds, Embedded};
pub use self::enforced::Tenants;
pub use self::issuers::{IssuerError, Known};
pub use self::presented::{DPOP, Presented};
pub use self::store::{Later, SenderStore, StoreGone, Use, Used};

/// Header with the newest nonce.
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Method and path of a request: what a proof has to be about.
#[derive(Debug, Clone)]
pub struct Address {
    /// `htm`.
    pub method: String,
    /// The path of `htu`.
    pub path: String,
}

/// Everything that a token is held against.
pub struct Binding {
    constraints: SenderConstraints,
    algorithms: Vec<Scheme>,
    /// The issuers in force.
    pub issuers: Holder<Known>,
    store: Arc<dyn SenderStore>,
    /// What monitoring counts of it.
    pub counts: BindingCounts,
}

impl Binding {
    /// With the store of one host.
    ///
    /// # Errors
    /// [`StoreGone`]: the system has no randomness.
    pub fn new(security: &Security, known: Known) -> Result<Self, StoreGone> {
        let constraints = security.sender_constraints.clone();
        let store = Embedded::new(Bounds {
            all: constraints.dpop.replay_max,
            per_key: constraints.dpop.replay_max_per_key,
        })?;
        Ok(Self {
            algorithms: schemes(&constraints.dpop.algorithms),
            constraints,
            issuers: Holder::new(known),
            store: Arc::new(store),
            counts: BindingCounts::default(),
        })
    }

    /// Judges a token at `now`. `facts` is filled as soon as the issuer's signature is verified.
    ///
    /// A proof is used up by this, whatever becomes of the request.
    pub async fn bind(
        &self,
        (presented, address): (&Presented, &Address),
        caller: &Caller,
        client: &ClientIdentity,
        now: Timestamp,
        facts: &mut Option<Box<TokenFacts>>,
    ) -> Result<BoundToken, Refusal> {
        let token = self.verify(presented.token(), now)?;
        *facts = Some(Box::new(token.facts().clone()));
        let tenant = &caller.principal.tenant;
        let certificate = client.certificate_sha256;
        let Presented::Dpop { proof, .. } = presented else {
            return self.bound(token.bind(Shown::Bearer, certificate, tenant));
        };
        let proof = self.check(proof, presented.token(), address, now)?;
        self.check_nonce(&proof, now).await?;
        let token = self.bound(token.bind(Shown::Dpop(&proof), certificate, tenant))?;
        self.use_up(&proof, now).await?;
        Ok(token)
    }

    fn bound(&self, result: Result<BoundToken, BindError>) -> Result<BoundToken, Refusal> {
        result.map_err(|error| {
            if error == BindError::OtherCertificate {
                self.counts.mismatch("thumbprint-mismatch");
            }
            Refusal::bad_input(Code::InvalidToken, error.to_string())
        })
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessToken, Refusal> {
        let known = self.issuers.current();
        let expected = Expected {
            issuers: known.issuers(),
            audience: &self.constraints.audience,
            skew_s: self.constraints.clock_skew_s,
        };
        AccessToken::verify(text, &expected, now, &AwsLcVerifier)
            .map_err(|e| Refusal::bad_input(Code::InvalidToken, e.to_string()))
    }

    fn check(
        &self,
        proof: &str,
        token: &str,
        address: &Address,
        now: Timestamp,
    ) -> Result<Proof, Refusal> {
        let bad = |e: String| Refusal::bad_input(Code::InvalidDpopProof, e);
        let target = format!("{}{}", self.constraints.origin, address.path);
        let target = Target::parse(&target).map_err(|e| bad(format!("the request's path: {e}")))?;
        let asked = Asked {
            method: &address.method,
            target: &target,
            token: Some(token),
        };
        let window = Window {
            past_s: self.constraints.dpop.replay_window_s,
            future_s: self.constraints.clock_skew_s,
        };
        let checked = Proof::check(
            proof,
            &asked,
            &self.algorithms,
            (now, window),
            &AwsLcVerifier,
        );
        checked.map_err(|e| bad(e.to_string()))
    }

    fn period(&self, now: Timestamp) -> Option<u64> {
        let length = u64::from(self.constraints.dpop.nonce_s);
        now.seconds().checked_div(length)
    }

    /// The newest nonce or the one before it.
    async fn check_nonce(&self, proof: &Proof, now: Timestamp) -> Result<(), Refusal> {
        let Some(period) = self.period(now) else {
            return Ok(());
        };
        for period in [Some(period), period.checked_sub(1)].into_iter().flatten() {
            let nonce = self.store.nonce(period).await?;
            if proof.nonce.as_ref() == Some(&nonce) {
                return Ok(());
            }
        }
        self.counts.nonce_misses.inc();
        let reason = match proof.nonce {
            None => "the DPoP proof has no nonce",
            Some(_) => "the DPoP proof has another nonce than the newest two",
        };
        Err(Refusal::bad_input(Code::UseDpopNonce, reason))
    }

    async fn use_up(&self, proof: &Proof, now: Timestamp) -> Result<(), Refusal> {
        let used = Used {
            jkt: proof.jkt,
            jti_sha256: proof.jti_sha256,
            until_s: proof.made.seconds() + u64::from(self.constraints.dpop.replay_window_s) + 1,
            now_s: now.seconds(),
        };
        match self.store.first_use(used).await? {
            Use::First => Ok(()),
            Use::Again => Err(Refusal::bad_input(
                Code::InvalidDpopProof,
                "the DPoP proof was used before",
            )),
            Use::TooMany => Err(Refusal::bad_input(
                Code::TooManyProofs,
                "the DPoP key has made more proofs than are remembered of one key",
            )),
        }
    }

    /// Adds the challenges (RFC 9449 sections 7.1 and 9, RFC 6750 section 3) to an answer that wants another token or
    /// proof, and the newest nonce to whoever `sent_proof`.
    pub async fn dress(&self, answer: &mut Answer, sent_proof: bool, now: Timestamp) {
        let code = answer.extensions().get::<Code>().copied();
        let is_challenge = answer.status() == StatusCode::UNAUTHORIZED;
        if let Some(code) = code.filter(|_| is_challenge) {
            self.challenge(answer, code);
        }
        let Some(period) = self.period(now).filter(|_| sent_proof || is_challenge) else {
            return;
        };
        if let Ok(nonce) = self.store.nonce(period).await {
            http::set(answer, DPOP_NONCE, &nonce);
        }
    }

    fn challenge(&self, answer: &mut Answer, code: Code) {
        let algorithms: Vec<_> = self.algorithms.iter().map(|one| name_of(*one)).collect();
        let algorithms = algorithms.join(" ");
        let challenge = match code {
            // Either kind of token may do: what it has to be bound to stands in the detail.
            Code::TokenRequired => format!("DPoP algs=\"{algorithms}\", Bearer"),
            code => format!(
                "DPoP error=\"{code}\", error_description=\"{}\", algs=\"{algorithms}\"",
                code.title()
            ),
        };
        http::set(answer, WWW_AUTHENTICATE, &challenge);
    }
}

impl From<StoreGone> for Refusal {
    fn from(gone: StoreGone) -> Self {
        Self::failed(Code::TokenCheckUnavailable, gone.to_string())
    }
}

/// What became of a token, for those who watch: who, for whom and how bound, never the token.
pub fn telemetry(caller: &Caller, facts: Option<&TokenFacts>, refusal: Option<&Refusal>) {
    let jkt = facts.and_then(|facts| facts.jkt).map(|jkt| jkt.to_string());
    let x5t = facts
        .and_then(|facts| facts.x5t_s256)
        .map(|x5t| x5t.to_string());
    let code = refusal.map(|refusal| refusal.code.as_str());
    let nonce_status = match refusal.map(|refusal| refusal.code) {
        Some(Code::UseDpopNonce) => "missing",
        _ => "accepted",
    };
    let client = facts.map(|facts| facts.client_id.as_str());
    let (tenant, principal) = (
        caller.principal.tenant.as_str(),
        caller.principal.id.as_str(),
    );
    if jkt.is_some() {
        tracing::info!(
            event = "authority.dpop.request",
            tenant,
            principal,
            client,
            jkt,
            nonce_status,
            code,
            "access token"
        );
    }
    tracing::info!(
        event = "authority.security.senderConstraint",
        tenant,
        principal,
        client,
        jkt,
        x5t,
        code,
        "access token"
    );
}
