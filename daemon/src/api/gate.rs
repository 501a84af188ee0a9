//! The gate in front of steps that need approvals: `?operation=INDEX`, `?break_glass=REASON`.

use sealwright_core::approval::Params;
use sealwright_core::error::Code;
use sealwright_core::identity::Role;
use sealwright_core::record::{Event, Warrant};

use super::operations::accepted;
use super::query::Query;
use super::{Call, check_reason};
use crate::approvals;
use crate::authn::Caller;
use crate::http::Answer;
use crate::refusal::Refusal;

/// What a call says of approvals.
#[derive(Debug, Default)]
pub(super) struct Gate {
    operation: Option<u64>,
    break_glass: Option<String>,
}

/// Where a call goes on.
pub(super) enum Way<T> {
    /// It does its work with this.
    Open(T),
    /// It answers this.
    Closed(Answer),
}

impl Gate {
    /// Reads a query that holds nothing else.
    pub(super) fn read(query: &str) -> Result<Self, Refusal> {
        let mut query = Query::parse(query);
        let gate = Self {
            operation: query.take_as("operation")?,
            break_glass: query.take("break_glass")?,
        };
        query.finish()?;
        Ok(gate)
    }

    /// `event` as it may be recorded now: with its approvals, where it needs some.
    pub(super) async fn pass_event(
        self,
        call: &Call<'_>,
        caller: &Caller,
        event: Event,
    ) -> Result<Way<Event>, Refusal> {
        let journal = &call.daemon.journal;
        let Some(params) = journal.with_state(|state| state.params_of(&event))? else {
            return Ok(Way::Open(event));
        };
        Ok(match self.pass(call, caller, params).await? {
            Way::Open(warrant) => Way::Open(event.by(warrant)),
            Way::Closed(answer) => Way::Closed(answer),
        })
    }

    /// By which approvals `caller` may do `params` now. The writer asks once more when it takes in the event.
    pub(super) async fn pass(
        self,
        call: &Call<'_>,
        caller: &Caller,
        params: Params,
    ) -> Result<Way<Warrant>, Refusal> {
        let daemon = call.daemon;
        let needed = daemon
            .journal
            .with_state(|state| state.approvals_required());
        let (operation, break_glass) = (self.operation, self.break_glass);
        if let Some(reason) = &break_glass {
            check_break_glass(call, caller, needed, reason)?;
        }
        let warrant = |approval| {
            let warrant = Warrant {
                approval,
                break_glass: break_glass.clone(),
            };
            Ok(Way::Open(warrant))
        };
        match operation {
            None if needed == 0 => warrant(None),
            None if break_glass.is_some() => {
                let asked = approvals::ask(daemon, caller, params, needed).await?;
                warrant(Some(asked))
            }
            None => {
                let asked = approvals::ask(daemon, caller, params, needed).await?;
                Ok(Way::Closed(accepted(daemon, asked)?))
            }
            Some(index) if break_glass.is_some() => warrant(Some(index)),
            Some(index) => {
                let what = (&params, caller.principal.id.as_str());
                let now = daemon.record_time();
                daemon
                    .journal
                    .with_state(|state| state.check_use(index, what, needed, now))?;
                warrant(Some(index))
            }
        }
    }
}

fn check_break_glass(
    call: &Call<'_>,
    caller: &Caller,
    needed: u32,
    reason: &str,
) -> Result<(), Refusal> {
    check_reason(reason)?;
    let bad = |detail| Err(Refusal::bad_input(Code::InvalidRequest, detail));
    if reason.is_empty() {
        return bad("break_glass is a reason, in words");
    }
    if needed == 0 {
        return bad("this log asks for no approvals: leave break_glass out");
    }
    if !call.daemon.config.dual_control.break_glass || !caller.principal.has(Role::Operator) {
        let why = "dual_control.break_glass is off, or the caller is no operator";
        return Err(Refusal::denied(Code::Denied, why));
    }
    Ok(())
}
