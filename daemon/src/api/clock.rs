//! `POST /v1/clock/accept`: an operator says that a clock in doubt is right.

use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::record::{ClockAccepted, Event, Warrant};
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::{Gate, Way};
use super::{Call, actor, check_reason, read_json};
use crate::http::{self, Answer};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    reason: String,
}

#[derive(Serialize)]
struct Accepted {
    wall: Timestamp,
    record: u64,
}

pub(super) async fn accept(
    call: &Call<'_>,
    query: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
    call.check_host(&caller)?;
    let Accept { reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    let daemon = call.daemon;
    if let Ok(wall) = daemon.trusted_clock.now() {
        let detail = format!("the host's clock says {wall}, and nothing speaks against it");
        return Err(Refusal::bad_input(Code::ClockNotInDoubt, detail));
    }
    let now = daemon.trusted_clock.reading();
    let wall = now.wall;
    let accepted = ClockAccepted {
        wall,
        boot: daemon.trusted_clock.since_boot(now),
        reason,
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    let event = Event::ClockAccepted(accepted);
    let event = match gate.pass_event(call, &caller, event).await? {
        Way::Open(event) => event,
        Way::Closed(answer) => return Ok(answer),
    };
    let recorded = daemon.journal.record(event).await?;
    // A crash before this line: the next start compares with what was recorded.
    daemon.trusted_clock.accept(now);
    let record = recorded.index();
    Ok(http::json(&Accepted { wall, record }))
}
