//! `POST /v1/policy/activate`: the policy file as it is now comes into force.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::permit::PolicyEngine as _;
use sealwright_core::record::{Event, PolicyActivated, Warrant};
use serde::Serialize;

use super::gate::{Gate, Way};
use super::{Call, actor};
use crate::http::{self, Answer};
use crate::policy;
use crate::refusal::Refusal;
use crate::run::read_policy;

#[derive(Serialize)]
struct Activated {
    digest: Sha256Digest,
    record: u64,
}

pub(super) async fn activate(call: &Call<'_>, query: &str) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
    let daemon = call.daemon;
    call.check_host(&caller)?;
    daemon.can_record()?;
    let from_file = read_policy(&daemon.config)
        .map_err(|e| Refusal::bad_input(Code::InvalidRequest, e.to_string()))?;
    let digest = from_file.1.digest();
    let event = Event::PolicyActivated(PolicyActivated {
        digest,
        by: Some(actor(&caller)),
        warrant: Warrant::default(),
    });
    let event = match gate.pass_event(call, &caller, event).await? {
        Way::Open(event) => event,
        Way::Closed(answer) => return Ok(answer),
    };
    let record = policy::activate(daemon, from_file, event).await?;
    let mut answer = http::json(&Activated { digest, record });
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}
