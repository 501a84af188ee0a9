//! The sessions of the token, and the recovery ladder.
//!
//! A request takes a [`Lease`]: a session of its own with its cached key handles. When the token fails, the
//! ladder of [`Pool::run`] replaces first the session, then the whole connection; C_Finalize waits until
//! every lease is back, because nobody may be inside the module then.

use std::collections::HashMap;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cryptoki::session::Session;
use cryptoki::slot::{Slot, TokenInfo};
use sealwright_driver_api::{DriverError, ErrorClass, KeyUri};

use crate::connection::{Connection, Connector};
use crate::fault::{Fault, Remedy, Rung, next_rung};
use crate::find::Key;

/// The sessions of one token.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) connector: Connector,
    // Guards the bookkeeping only. Never held over a call into the module.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts connections, so that two requests which fail on one connection rebuild it once.
    generation: u64,
    idle: Vec<Seat>,
    leases: usize,
}

#[derive(Debug)]
enum Phase {
    Open(Connection),
    /// One thread rebuilds; nobody else is in the module.
    Rebuilding,
    /// The last attempt failed. The next request tries again.
    Closed,
}

/// A session with what is known of keys through it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) session: Session,
    /// Finding a key costs more than a P-256 signature, so handles are kept as long as the session.
    pub(crate) keys: HashMap<KeyUri, Key>,
}

/// A seat in use. Dropping it closes the session; the pool keeps it only after a success.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    // Dropped before the ticket: the session has to be closed when the last lease is counted back.
    pub(crate) seat: Seat,
    pub(crate) slot: Slot,
    ticket: Ticket<'a>,
}

/// One of the counted leases.
#[derive(Debug)]
struct Ticket<'a>(&'a Pool);

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.lock().leases -= 1;
        self.0.changed.notify_all();
    }
}

impl Lease<'_> {
    /// Whether the token itself answers, and is still ours.
    pub(crate) fn check_token(&self) -> Result<TokenInfo, Fault> {
        self.connector().check_token(self.slot)
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.ticket.0.connector
    }

    fn give_back(self) {
        let Self { seat, ticket, .. } = self;
        ticket.0.lock().idle.push(seat);
    }
}

impl Pool {
    /// Connects to the token.
    pub(crate) fn open(connector: Connector) -> Result<Self, DriverError> {
        let phase = Phase::Open(connector.connect()?);
        let state = State {
            phase,
            generation: 0,
            idle: Vec::new(),
            leases: 0,
        };
        Ok(Self {
            connector,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Runs `work` with a session, climbing the ladder as far as its faults ask for: a new session, then a
    /// new connection. Each rung is climbed at most once per request, so `work` runs at most three times.
    pub(crate) fn run<T>(
        &self,
        deadline: Instant,
        mut work: impl FnMut(&mut Lease<'_>) -> Result<T, Fault>,
    ) -> Result<T, DriverError> {
        let mut reached = None;
        loop {
            let generation = self.lock().generation;
            let fault = match self.attempt(deadline, &mut work) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            let Remedy::Climb(wanted) = fault.remedy else {
                return Err(fault.error);
            };
            let Some(rung) = next_rung(wanted, reached) else {
                return Err(fault.exhausted());
            };
            if Instant::now() >= deadline {
                return Err(fault.error);
            }
            tracing::warn!(error = %fault.error, ?rung, "recovering");
            if rung == Rung::Rebuild {
                self.rebuild(generation, deadline)?;
            }
            reached = Some(rung);
        }
    }

    fn attempt<T>(
        &self,
        deadline: Instant,
        work: &mut impl FnMut(&mut Lease<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut lease = self.take(deadline)?;
        match work(&mut lease) {
            Ok(done) => {
                lease.give_back();
                Ok(done)
            }
            // The lease is dropped with its session: what state that is in after an error is a guess.
            Err(fault) if fault.remedy == Remedy::AskToken => Err(lease
                .check_token()
                .err()
                .unwrap_or(Fault::hopeless(fault.error))),
            Err(fault) => Err(fault),
        }
    }

    fn take(&self, deadline: Instant) -> Result<Lease<'_>, Fault> {
        let (slot, idle, ticket) = self.enter(deadline)?;
        let seat = match idle {
            Some(seat) => seat,
            None => Seat {
                session: self.connector.open_session(slot)?,
                keys: HashMap::new(),
            },
        };
        Ok(Lease { seat, slot, ticket })
    }

    fn enter(&self, deadline: Instant) -> Result<(Slot, Option<Seat>, Ticket<'_>), Fault> {
        let mut state = self.settled(deadline).map_err(Fault::hopeless)?;
        let slot = match &state.phase {
            Phase::Open(connection) => connection.slot,
            _ => {
                return Err(Fault::lost(
                    "",
                    format!("token {} is not connected", self.connector.label),
                ));
            }
        };
        state.leases += 1;
        Ok((slot, state.idle.pop(), Ticket(self)))
    }

    /// Replaces the connection of generation `seen`, unless another request has done so.
    fn rebuild(&self, seen: u64, deadline: Instant) -> Result<(), DriverError> {
        let Some((old, seats)) = self.quiesce(seen, deadline)? else {
            return Ok(());
        };
        drop(seats);
        if let Phase::Open(connection) = old {
            self.connector.disconnect(connection);
        }
        let connected = self.connector.connect();
        let mut state = self.lock();
        let (phase, result) = match connected {
            Ok(connection) => (Phase::Open(connection), Ok(())),
            Err(error) => (
                Phase::Closed,
                Err(lost_unless_auth(error, &self.connector.label)),
            ),
        };
        state.phase = phase;
        state.generation += 1;
        self.changed.notify_all();
        result
    }

    /// Closes the pool and waits for all leases. `None`: another request has rebuilt it meanwhile.
    fn quiesce(
        &self,
        seen: u64,
        deadline: Instant,
    ) -> Result<Option<(Phase, Vec<Seat>)>, DriverError> {
        let mut state = self.settled(deadline)?;
        if state.generation != seen && matches!(state.phase, Phase::Open(_)) {
            return Ok(None);
        }
        let old = mem::replace(&mut state.phase, Phase::Rebuilding);
        let (mut state, waited) = self
            .changed
            .wait_timeout_while(state, left(deadline), |state| state.leases > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            state.phase = old;
            self.changed.notify_all();
            return Err(self.late("another request kept its session"));
        }
        let seats = mem::take(&mut state.idle);
        Ok(Some((old, seats)))
    }

    /// The state while nobody rebuilds.
    fn settled(&self, deadline: Instant) -> Result<MutexGuard<'_, State>, DriverError> {
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), left(deadline), |state| {
                matches!(state.phase, Phase::Rebuilding)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            Err(self.late("it was being reconnected"))
        } else {
            Ok(state)
        }
    }

    fn late(&self, why: &str) -> DriverError {
        let detail = format!(
            "token {}: the deadline passed while {why}",
            self.connector.label
        );
        DriverError::new(ErrorClass::Transient, "", detail)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.idle.clear();
        if let Phase::Open(connection) = mem::replace(&mut state.phase, Phase::Closed) {
            self.connector.disconnect(connection);
        }
    }
}

fn left(deadline: Instant) -> std::time::Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// While rebuilding, a token that is not there is gone, not misconfigured: a new process may find it again.
fn lost_unless_auth(error: DriverError, label: &str) -> DriverError {
    match error.class {
        ErrorClass::Auth | ErrorClass::LockedOut => error,
        _ => {
            let detail = format!("token {label} cannot be reconnected: {}", error.detail);
            DriverError::new(ErrorClass::Lost, error.code, detail)
        }
    }
}
