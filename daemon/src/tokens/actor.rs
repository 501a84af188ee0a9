//! The task that owns one token's connection: queue in front, requests in flight, back-off behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use sealwright_driver_api::wire::{Answer, FromDriver, IN_FLIGHT_MAX};
use sealwright_driver_api::{Descriptor, TokenConfig};
use tokio::sync::{mpsc, oneshot};

use super::CallError;
use super::breaker::Breaker;
use super::connection::{Connection, LinkError, Outgoing};
use super::queue::FairQueue;
use super::status::{Service, Status};

/// A connection that ends sooner than this counts as a failure.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// Who acts on a job: exactly one of "sent" and "abandoned" wins.
const WAITING: u8 = 0;
const SENT: u8 = 1;
const ABANDONED: u8 = 2;

/// The race between sending a request and giving it up, decided once.
#[derive(Debug, Default)]
pub struct Claim(AtomicU8);

impl Claim {
    fn send(&self) -> bool {
        self.swap_from_waiting(SENT)
    }

    /// Gives the request up. `true`: it never reached the driver, and never will.
    pub fn abandon(&self) -> bool {
        self.swap_from_waiting(ABANDONED)
    }

    fn swap_from_waiting(&self, to: u8) -> bool {
        self.0
            .compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// One request on its way to the token.
pub struct Job {
    /// Unique for the token's life.
    pub id: u64,
    /// For fairness.
    pub principal: String,
    /// What is asked.
    pub request: Outgoing,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// Sent or abandoned.
    pub claim: Arc<Claim>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Answer, CallError>>,
}

/// What the actor is told.
pub enum Message {
    /// A new request.
    Job(Job),
    /// Nobody waits for this one any more.
    Cancel(u64),
}

/// The task's state.
pub struct Actor {
    config: TokenConfig,
    messages: mpsc::UnboundedReceiver<Message>,
    status: Arc<Status>,
    queue: FairQueue<Job>,
    breaker: Breaker,
}

/// A host ends its process soon after the deadline of a request that its device does not answer. One that
/// has not even done that by now hangs itself.
const OVERDUE: Duration = Duration::from_secs(2);

/// A request that the driver has.
struct Flight {
    reply: oneshot::Sender<Result<Answer, CallError>>,
    sent: Instant,
    deadline: Instant,
}

type InFlight = HashMap<u64, Flight>;

/// When a connection with these requests hangs. The latest one counts: others may wait behind it.
fn hangs_at(in_flight: &InFlight) -> Option<tokio::time::Instant> {
    let latest = in_flight.values().map(|flight| flight.deadline).max();
    latest.map(|deadline| (deadline + OVERDUE).into())
}

impl Actor {
    /// An actor for one token; nothing happens before [`Actor::run`].
    pub fn new(
        config: TokenConfig,
        messages: mpsc::UnboundedReceiver<Message>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            config,
            messages,
            status,
            queue: FairQueue::default(),
            breaker: Breaker::default(),
        }
    }

    /// Connects, serves, reconnects, until the last handle is dropped.
    pub async fn run(mut self) {
        loop {
            self.status.set(Service::Connecting);
            let reason = match Connection::open(&self.config).await {
                Ok((connection, descriptor)) => match self.serve(connection, descriptor).await {
                    Some(error) => error.to_string(),
                    None => return,
                },
                Err(error) => {
                    self.breaker.failed(Instant::now());
                    error.to_string()
                }
            };
            self.status.failed();
            tracing::warn!(token = %self.config.name, %reason, "token out of service");
            self.status.set(Service::OutOfService(reason.clone()));
            if !self.pause(&reason).await {
                return;
            }
        }
    }

    /// Waits for the next try, still taking in requests. `false`: the daemon is going down.
    async fn pause(&mut self, reason: &str) -> bool {
        let Some(retry_at) = self.breaker.retry_at() else {
            return true;
        };
        if self.breaker.is_open() {
            while let Some(job) = self.pop() {
                let _ = job.reply.send(Err(self.unavailable(reason)));
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(retry_at.into()) => return true,
                message = self.messages.recv() => match message {
                    None => return false,
                    Some(Message::Job(job)) if self.breaker.is_open() => {
                        self.status.left_queue();
                        if job.claim.abandon() {
                            let _ = job.reply.send(Err(self.unavailable(reason)));
                        }
                    }
                    Some(message) => self.take_in(message),
                },
            }
        }
    }

    fn unavailable(&self, reason: &str) -> CallError {
        CallError::Unavailable {
            token: self.config.name.clone(),
            reason: reason.to_owned(),
        }
    }

    fn take_in(&mut self, message: Message) {
        // A cancelled request that still waits was abandoned by its caller: `pop` drops it.
        if let Message::Job(job) = message {
            let principal = job.principal.clone();
            self.queue.push(&principal, job);
        }
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.queue.pop();
        if job.is_some() {
            self.status.left_queue();
        }
        job
    }

    /// Serves one connection. `Some`: it ended, and why; `None`: the daemon is going down.
    async fn serve(
        &mut self,
        mut connection: Connection,
        descriptor: Descriptor,
    ) -> Option<LinkError> {
        // One request in each session and one on its way there, so that no session waits for us.
        let window = (usize::from(descriptor.sessions) * 2).min(IN_FLIGHT_MAX);
        self.status.set(Service::Ready(Box::new(descriptor)));
        let mut in_flight = InFlight::new();
        let opened = Instant::now();
        let ended = self.pump(&mut connection, window, &mut in_flight).await;
        // A driver may end when it is idle, but not at once: that is one that dies over and over.
        let is_short = opened.elapsed() < SHORT_LIFE;
        let is_broken = matches!(ended, Some(LinkError::Protocol(_)));
        if !in_flight.is_empty() || is_short || is_broken {
            self.breaker.failed(Instant::now());
        }
        let token = &self.config.name;
        for (_, Flight { reply, .. }) in in_flight.drain() {
            let error = match &ended {
                Some(error @ LinkError::Protocol(_)) => CallError::Misbehaved {
                    token: token.clone(),
                    reason: error.to_string(),
                },
                Some(error) => CallError::Lost {
                    token: token.clone(),
                    reason: error.to_string(),
                },
                None => CallError::Lost {
                    token: token.clone(),
                    reason: "the daemon stops".to_owned(),
                },
            };
            let _ = reply.send(Err(error));
        }
        self.status.set_in_flight(0);
        ended
    }

    async fn pump(
        &mut self,
        connection: &mut Connection,
        window: usize,
        in_flight: &mut InFlight,
    ) -> Option<LinkError> {
        loop {
            let sent = match self.fill(connection, window, in_flight) {
                Ok(()) => connection.flush().await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                return Some(error);
            }
            self.status.set_in_flight(in_flight.len());
            let hangs_at = hangs_at(in_flight);
            let hangs = async {
                match hangs_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                frame = connection.next() => {
                    if let Err(error) = frame.and_then(|frame| self.take_frame(frame, in_flight)) {
                        return Some(error);
                    }
                }
                message = self.messages.recv() => {
                    let mut next = Some(message?);
                    while let Some(message) = next.take() {
                        if let Err(error) = self.take_or_cancel(message, connection, in_flight) {
                            return Some(error);
                        }
                        next = self.messages.try_recv().ok();
                    }
                }
                () = hangs => return Some(LinkError::Timeout("answer")),
            }
        }
    }

    fn take_or_cancel(
        &mut self,
        message: Message,
        connection: &mut Connection,
        in_flight: &InFlight,
    ) -> Result<(), LinkError> {
        match message {
            Message::Cancel(id) if in_flight.contains_key(&id) => connection.push_cancel(id),
            message => {
                self.take_in(message);
                Ok(())
            }
        }
    }

    /// Moves requests from the queue into the connection's buffer while sessions are free.
    fn fill(
        &mut self,
        connection: &mut Connection,
        window: usize,
        in_flight: &mut InFlight,
    ) -> Result<(), LinkError> {
        while in_flight.len() < window {
            let Some(job) = self.pop() else { break };
            let remaining = job.deadline.saturating_duration_since(Instant::now());
            let remaining_ms = u32::try_from(remaining.as_millis()).unwrap_or(u32::MAX);
            if remaining_ms == 0 || !job.claim.send() {
                continue;
            }
            in_flight.insert(
                job.id,
                Flight {
                    reply: job.reply,
                    sent: Instant::now(),
                    deadline: job.deadline,
                },
            );
            connection.push_request(job.id, remaining_ms, &job.request)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: FromDriver, in_flight: &mut InFlight) -> Result<(), LinkError> {
        match frame {
            FromDriver::Progress { .. } => Ok(()),
            FromDriver::Hello(_) => Err(LinkError::Protocol("a second hello".to_owned())),
            FromDriver::Reply { id, result } => {
                let Flight { reply, sent, .. } = in_flight.remove(&id).ok_or_else(|| {
                    LinkError::Protocol(format!(
                        "an answer to request {id}, which is not in flight"
                    ))
                })?;
                self.breaker.succeeded();
                let took = sent.elapsed().as_secs_f64();
                self.status.call_seconds().observe(took);
                let token = self.config.name.clone();
                let _ = reply.send(result.map_err(|error| CallError::Driver { token, error }));
                Ok(())
            }
        }
    }
}
