//! The HTTP API: which request goes to which endpoint, and what all of them share.

mod anchor;
mod attest;
mod audit;
mod clock;
mod compromise;
mod crl;
mod destroy;
mod device_keys;
mod enrol;
mod erasure;
mod freeze;
mod gate;
mod holds;
mod keys;
mod log;
pub(crate) mod operations;
mod policy;
mod query;
mod receipts;
mod retention;
mod revocation;
mod rotation;
mod sign;
mod status;
mod tokens;
mod trust;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use sealwright_core::error::Code;
use sealwright_core::json;
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Question, Resource};
use sealwright_core::record::Actor;
use serde::de::DeserializeOwned;

use self::query::Query;
use crate::authn::{Caller, Peer};
use crate::binding::{Address, DPOP, Presented};
use crate::config::Limits;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

/// Longest reason of an operator, in bytes.
const REASON_MAX: usize = 1024;
/// Largest JSON body of an operator's call.
const JSON_MAX: usize = 64 << 10;

/// One request with everything its endpoint may need.
pub struct Call<'a> {
    daemon: &'a Arc<Daemon>,
    peer: &'a Arc<Peer>,
    request_id: &'a str,
    /// The caller, where it showed an access token: who that token is bound to.
    bound: Option<Caller>,
}

/// Answers one request.
pub async fn handle(
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
    request_id: String,
) -> Answer {
    let sent_proof = request.headers().contains_key(&DPOP);
    let mut answer = answer(&daemon, &peer, request, &request_id).await;
    let now = daemon.clock.now();
    daemon.binding.dress(&mut answer, sent_proof, now).await;
    answer
}

async fn answer(
    daemon: &Arc<Daemon>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
    request_id: &str,
) -> Answer {
    let mut call = Call {
        daemon,
        peer,
        request_id,
        bound: None,
    };
    let path = request.uri().path().to_owned();
    match route(&mut call, request).await {
        Ok(answer) => answer,
        Err(refusal) => {
            tracing::info!(%request_id, code = %refusal.code, reason = %refusal.reason, "request refused");
            daemon.metrics.denied(&refusal);
            daemon.mark_suspect(&refusal).await;
            let mut answer = http::problem(&refusal, request_id);
            if refusal.code == Code::MethodNotAllowed {
                let segments: Vec<&str> = path.split('/').skip(1).collect();
                http::set(&mut answer, ALLOW, &methods_at(&segments).join(", "));
            }
            answer
        }
    }
}

async fn route(call: &mut Call<'_>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let shown = shown(&head);
    // What signs judges the token itself: whatever is wrong with it is recorded.
    match path.as_str() {
        "/v1/sign" if head.method == Method::POST => {
            let query = head.uri.query().unwrap_or_default();
            return Ok(sign::post(call, query, &head.headers, shown, body).await);
        }
        "/v1/receipts" if head.method == Method::POST => {
            let query = head.uri.query().unwrap_or_default();
            return Ok(receipts::post(call, query, shown, body).await);
        }
        _ => {}
    }
    call.bind(shown?).await?;
    let call = &*call;
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let query = head.uri.query().unwrap_or_default();
    if !matches!(
        segments.as_slice(),
        ["v1", "sign"]
            | ["v1", "keys", "generate"]
            | ["v1", "policy", "activate"]
            | ["v1", "clock", "accept"]
            | ["v1", "freeze", "lift"]
            | ["v1", "audit", "erasures"]
            | ["v1", "keys", _, _, "rotate"]
            | ["v1", "keys", _, _, "rotate", "schedule"]
            | ["v1", "keys", _, _, _, "compromise" | "destroy" | "events"]
            | ["v1", "audit", "records"]
            | ["v1", "log", "proof", _]
            | ["v1", "log", "consistency"]
            | ["v1", "operations", _]
            | ["v1", "receipts"]
            | ["v1", "receipts", _]
    ) {
        Query::parse(query).finish()?;
    }
    let get = head.method == Method::GET;
    let post = head.method == Method::POST;
    match segments.as_slice() {
        ["v1", "status"] if get => status::get(call),
        ["v1", "clock", "accept"] if post => clock::accept(call, query, body).await,
        ["v1", "freeze"] if post => freeze::set(call, body).await,
        ["v1", "freeze", "lift"] if post => freeze::lift(call, query, body).await,
        ["v1", "keys"] if get => keys::list(call, None),
        ["v1", "keys"] if post => enrol::post(call, body).await,
        ["v1", "keys", "describe"] if post => device_keys::describe(call, body).await,
        ["v1", "keys", "generate"] if post => device_keys::generate(call, query, body).await,
        ["v1", "keys", tenant, label] if get => keys::list(call, Some((*tenant, *label))),
        ["v1", "keys", tenant, label, "rotate"] if post => {
            rotation::post(call, &format!("{tenant}/{label}"), query, body).await
        }
        ["v1", "keys", tenant, label, "rotate", "schedule"] if post => {
            rotation::schedule(call, &format!("{tenant}/{label}"), query, body).await
        }
        ["v1", "keys", tenant, label, "rotate", "cancel"] if post => {
            rotation::cancel(call, &format!("{tenant}/{label}"), body).await
        }
        ["v1", "keys", tenant, label, version, "attest"] if post => {
            let id = keys::parse_version(&format!("{tenant}/{label}#{version}"))?;
            attest::post(call, id, body).await
        }
        ["v1", "keys", tenant, label, version, "compromise"] if post => {
            let id = keys::parse_version(&format!("{tenant}/{label}#{version}"))?;
            compromise::post(call, id, query, body).await
        }
        ["v1", "keys", tenant, label, version, "destroy"] if post => {
            let id = keys::parse_version(&format!("{tenant}/{label}#{version}"))?;
            destroy::post(call, id, query, body).await
        }
        ["v1", "keys", tenant, label, version, "crl"] if post => {
            let id = keys::parse_version(&format!("{tenant}/{label}#{version}"))?;
            crl::post(call, id, body).await
        }
        ["v1", "keys", tenant, label, version, "revocation"] if post => {
            let id = keys::parse_version(&format!("{tenant}/{label}#{version}"))?;
            revocation::post(call, id, body).await
        }
        ["v1", "keys", tenant, label, version, "events"] if post => {
            keys::change(call, &format!("{tenant}/{label}#{version}"), query, body).await
        }
        ["v1", "audit", "erasures"] if post => erasure::post(call, query, body).await,
        ["v1", "audit", "holds"] if get => holds::list(call),
        ["v1", "audit", "holds"] if post => holds::place(call, body).await,
        ["v1", "audit", "holds", "lift"] if post => holds::lift(call, body).await,
        ["v1", "audit", "records"] if get => audit::list(call, query).await,
        ["v1", "audit", "records", index] if get => audit::show(call, index).await,
        ["v1", "audit", "retention"] if get => retention::list(call),
        ["v1", "log", "checkpoint"] if get => log::checkpoint(call),
        ["v1", "log", "consistency"] if get => anchor::consistency(call, query),
        ["v1", "log", "cosignatures"] if post => anchor::cosignatures(call, body).await,
        ["v1", "log", "key"] if get => log::key(call),
        ["v1", "log", "proof", index] if get => log::proof(call, index, query).await,
        ["v1", "log", "tile", ..] if get => log::tile(call, path.trim_start_matches("/v1/log/")),
        ["v1", "policy", "activate"] if post => policy::activate(call, query).await,
        ["v1", "operations"] if get => operations::list(call),
        ["v1", "operations", id] if get => operations::show(call, id, query).await,
        ["v1", "operations", index, "approvals"] if post => {
            operations::approve(call, index, body).await
        }
        ["v1", "receipts"] if get => receipts::current(call, query).await,
        ["v1", "receipts", id] if get => receipts::show(call, id, query).await,
        ["v1", "receipts", id, "history"] if get => receipts::history(call, id),
        ["v1", "tokens", token, "clear"] if post => tokens::clear(call, token, body).await,
        ["v1", "trust"] if post => trust::post(call, body).await,
        known if !methods_at(known).is_empty() => Err(Refusal::bad_input(
            Code::MethodNotAllowed,
            format!("{path} does not take {}", head.method),
        )),
        _ => Err(Refusal::bad_input(
            Code::UnknownEndpoint,
            format!("there is nothing at {path}"),
        )),
    }
}

/// Every endpoint as the API description lists it: method and path. `{tile}` stands for the rest of the path.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/sign"),
    ("GET", "/v1/status"),
    ("POST", "/v1/clock/accept"),
    ("POST", "/v1/freeze"),
    ("POST", "/v1/freeze/lift"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("POST", "/v1/keys/describe"),
    ("POST", "/v1/keys/generate"),
    ("GET", "/v1/keys/{tenant}/{label}"),
    ("POST", "/v1/keys/{tenant}/{label}/rotate"),
    ("POST", "/v1/keys/{tenant}/{label}/rotate/schedule"),
    ("POST", "/v1/keys/{tenant}/{label}/rotate/cancel"),
    ("POST", "/v1/keys/{tenant}/{label}/{version}/attest"),
    ("POST", "/v1/keys/{tenant}/{label}/{version}/compromise"),
    ("POST", "/v1/keys/{tenant}/{label}/{version}/destroy"),
    ("POST", "/v1/keys/{tenant}/{label}/{version}/crl"),
    ("POST", "/v1/keys/{tenant}/{label}/{version}/events"),
    ("POST", "/v1/keys/{tenant}/{label}/{version}/revocation"),
    ("POST", "/v1/audit/erasures"),
    ("GET", "/v1/audit/holds"),
    ("POST", "/v1/audit/holds"),
    ("POST", "/v1/audit/holds/lift"),
    ("GET", "/v1/audit/records"),
    ("GET", "/v1/audit/records/{index}"),
    ("GET", "/v1/audit/retention"),
    ("GET", "/v1/log/checkpoint"),
    ("GET", "/v1/log/consistency"),
    ("POST", "/v1/log/cosignatures"),
    ("GET", "/v1/log/key"),
    ("GET", "/v1/log/proof/{index}"),
    ("GET", "/v1/log/tile/{tile}"),
    ("POST", "/v1/policy/activate"),
    ("GET", "/v1/operations"),
    ("GET", "/v1/operations/{index}"),
    ("POST", "/v1/operations/{index}/approvals"),
    ("GET", "/v1/receipts"),
    ("POST", "/v1/receipts"),
    ("GET", "/v1/receipts/{id}"),
    ("GET", "/v1/receipts/{id}/history"),
    ("POST", "/v1/tokens/{name}/clear"),
    ("POST", "/v1/trust"),
];

/// The methods of the endpoints at `segments`; none where there is no endpoint.
fn methods_at(segments: &[&str]) -> Vec<&'static str> {
    let here = ROUTES.iter().filter(|(_, path)| fits(path, segments));
    here.map(|(method, _)| *method).collect()
}

fn fits(path: &str, segments: &[&str]) -> bool {
    let mut given = segments.iter();
    for part in path.split('/').skip(1) {
        match (part, given.next()) {
            ("{tile}", Some(_)) => return true,
            (part, Some(segment)) if part.starts_with('{') || part == *segment => {}
            _ => return false,
        }
    }
    given.next().is_none()
}

impl Call<'_> {
    /// Authenticates the caller for this request.
    fn caller(&self) -> Result<Caller, Refusal> {
        match &self.bound {
            Some(caller) => Ok(caller.clone()),
            None => self.daemon.authenticate(self.peer),
        }
    }

    /// Judges an access token that came along, whether or not the endpoint wants one.
    async fn bind(&mut self, shown: Option<(Presented, Address)>) -> Result<(), Refusal> {
        if shown.is_some() {
            let caller = self.daemon.authenticate(self.peer)?;
            let mut facts = None;
            let bound = self.daemon.bind_token(caller, self.peer, shown, &mut facts);
            self.bound = Some(bound.await?);
        }
        Ok(())
    }

    /// Asks policy whether the caller may do this.
    fn check(
        &self,
        caller: &Caller,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<(), Refusal> {
        let question = Question {
            principal: &caller.principal,
            peer: caller.peer,
            action,
            resource,
            sign: None,
            token: caller.shown(),
            now: self.daemon.clock.now(),
        };
        let answer = self.daemon.policy.current().decide(&question);
        answer.granted(caller.shown())?;
        Ok(())
    }

    /// The same for what concerns every tenant: operators of tenant `default` run the host.
    fn check_host(&self, caller: &Caller) -> Result<(), Refusal> {
        let host = Tenant::default();
        self.check(caller, Action::Operate, Resource::Tenant(&host))
    }
}

/// The access token in a request's head, and what its proof has to be about.
fn shown(head: &Parts) -> Result<Option<(Presented, Address)>, Refusal> {
    let address = Address {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
    };
    Ok(Presented::read(&head.headers)?.map(|presented| (presented, address)))
}

/// An operator's own words go into the log: bounded, like everything there.
fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.len() <= REASON_MAX {
        return Ok(());
    }
    let detail = format!("the reason has more than {REASON_MAX} bytes");
    Err(Refusal::bad_input(Code::InvalidRequest, detail))
}

/// The same for what cannot be taken back, or has to be explained later.
fn require_reason(reason: &str) -> Result<(), Refusal> {
    check_reason(reason)?;
    if !reason.is_empty() {
        return Ok(());
    }
    let detail = "say why: the reason is what stays in the log";
    Err(Refusal::bad_input(Code::InvalidRequest, detail))
}

fn actor(caller: &Caller) -> Actor {
    Actor {
        principal: caller.principal.id.clone(),
        peer: caller.peer,
    }
}

/// Reads a JSON body: UTF-8, no duplicate keys, nothing unknown.
async fn read_json<T: DeserializeOwned>(call: &Call<'_>, body: Incoming) -> Result<T, Refusal> {
    let limits = Limits {
        max_body: JSON_MAX,
        ..call.daemon.config.limits.clone()
    };
    let payload = call.daemon.budget.read(body, &limits).await?;
    json::from_slice(payload.bytes())
        .map_err(|e| Refusal::bad_input(Code::InvalidJson, e.to_string()))
}

/// The value of a header that has to be there once, in visible ASCII.
fn content_type(headers: &hyper::HeaderMap) -> Result<String, Refusal> {
    let bad = |detail: &str| Refusal::bad_input(Code::InvalidRequest, detail);
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => {
            let text = value
                .to_str()
                .map_err(|_| bad("Content-Type is not visible ASCII"))?;
            if (1..=255).contains(&text.len()) {
                Ok(text.to_owned())
            } else {
                Err(bad(
                    "Content-Type, which is the payloadType, has 1 to 255 characters",
                ))
            }
        }
        (None, _) => Err(bad(
            "Content-Type is missing; it is the payloadType of the envelope",
        )),
        (Some(_), Some(_)) => Err(bad("Content-Type stands twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_with_its_parameters_and_no_other_way() {
        let known =
            |path: &str| !methods_at(&path.split('/').skip(1).collect::<Vec<_>>()).is_empty();
        for path in [
            "/v1/keys/default/release/1/events",
            "/v1/audit/records/7",
            "/v1/log/tile/0/x001/234.p/7",
        ] {
            assert!(known(path), "{path}");
        }
        for path in ["/", "/v1", "/v1/keys/", "/v1/log/tile", "/v1/sign/x"] {
            assert!(!known(path), "{path}");
        }
    }
}
