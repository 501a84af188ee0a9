//! `POST /v1/tokens/{name}/clear`: an operator has looked at a suspect token.

use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{Event, TokenMark};
use serde::{Deserialize, Serialize};

use super::{Call, check_reason, read_json};
use crate::http::{self, Answer};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear {
    reason: String,
}

#[derive(Serialize)]
struct Cleared {
    token: String,
    record: u64,
}

pub(super) async fn clear(call: &Call<'_>, token: &str, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    call.check(
        &caller,
        Action::Operate,
        Resource::Tenant(&caller.principal.tenant),
    )?;
    let Clear { reason } = read_json(call, body).await?;
    if call.daemon.tokens.status(token).is_none() {
        return Err(Refusal::bad_input(
            Code::UnknownToken,
            format!("no token {token} is configured"),
        ));
    }
    check_reason(&reason)?;
    let reason = format!("{}: {reason}", caller.principal.id);
    let mark = TokenMark {
        token: token.to_owned(),
        reason,
    };
    let recorded = call
        .daemon
        .journal
        .record(Event::TokenCleared(mark))
        .await?;
    Ok(http::json(&Cleared {
        token: token.to_owned(),
        record: recorded.index(),
    }))
}
