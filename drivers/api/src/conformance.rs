//! The suite that defines what a driver is.
//!
//! A driver is done when [`run`] passes with its real device, both in the process ([`InProcess`]) and through
//! its built binary ([`OverWire`]). How devices differ is data in [`Expectations`]; a row that does not apply
//! says so in the [`Report`]. The scripted driver proves the suite: with each of its faults on, it fails.

mod in_process;
mod over_wire;
mod report;
mod rows;
mod run;

use std::time::Duration;

use crate::wire::Answer;
use crate::{Descriptor, DriverError, EvidenceGrade, KeySpec, KeyUri, Progress, Scheme, Task};

pub use in_process::InProcess;
pub use over_wire::OverWire;
pub use report::{Report, Row, Verdict};

/// How much later than its limit an answer may come: the host's grace and the way back.
pub const SLACK: Duration = Duration::from_millis(1500);

/// What the suite knows of the device it is run against.
pub struct Expectations {
    /// The configured kind, label and serial.
    pub kind: String,
    /// See `kind`.
    pub label: String,
    /// See `kind`.
    pub serial: String,
    /// Exactly the schemes the token signs, in any order.
    pub schemes: Vec<Scheme>,
    /// How many sessions the descriptor shall tell.
    pub sessions: u16,
    /// The best evidence it gives.
    pub evidence: EvidenceGrade,
    /// Keys that are on the token, each with a scheme to sign with; at least one per scheme.
    pub keys: Vec<(KeyUri, Scheme)>,
    /// An address that no key has.
    pub missing: KeyUri,
    /// An address that several keys have; `None` where the device cannot have two.
    pub ambiguous: Option<KeyUri>,
    /// Keys to make, at addresses that no key has yet; empty for a device that makes none.
    pub generate: Vec<KeySpec>,
    /// How long the device may take for a signature, and for anything else that is not making a key.
    pub patience: Duration,
    /// How long it may take to make a key.
    pub generate_patience: Duration,
    /// What a person does at the device.
    pub hands: Hands,
}

/// What a person, or a test in a person's place, does at the device. `None`: cannot be done with it.
#[derive(Default)]
pub struct Hands {
    /// Touches the key. `Some` exactly where the descriptor says `needs_touch`.
    pub touch: Option<Box<dyn Fn()>>,
    /// Takes the device away.
    pub unplug: Option<Box<dyn Fn()>>,
    /// Brings it back.
    pub replug: Option<Box<dyn Fn()>>,
}

impl Expectations {
    /// What holds for most: no ambiguous address, nothing to generate, nobody at the device, 10 s patience
    /// (keys: 120 s), one session, claimed evidence. `keys` gives the schemes.
    pub fn new(
        kind: &str,
        label: &str,
        serial: &str,
        keys: Vec<(KeyUri, Scheme)>,
        missing: KeyUri,
    ) -> Self {
        let mut schemes: Vec<Scheme> = keys.iter().map(|(_, scheme)| *scheme).collect();
        schemes.sort_unstable();
        schemes.dedup();
        Self {
            kind: kind.to_owned(),
            label: label.to_owned(),
            serial: serial.to_owned(),
            schemes,
            sessions: 1,
            evidence: EvidenceGrade::Claimed,
            keys,
            missing,
            ambiguous: None,
            generate: Vec::new(),
            patience: Duration::from_secs(10),
            generate_patience: Duration::from_secs(120),
            hands: Hands::default(),
        }
    }
}

/// A driver under test.
pub trait Subject {
    /// What the token says of itself.
    fn descriptor(&mut self) -> Result<Descriptor, Failure>;

    /// Has one task done within `limit`, telling `watch` what happens meanwhile. Comes back after `limit` and
    /// [`SLACK`] at the latest, whatever the driver does.
    fn ask(
        &mut self,
        task: &Task,
        limit: Duration,
        watch: &mut dyn FnMut(Event) -> Reaction,
    ) -> Result<Answer, Failure>;

    /// Drops the token and opens it again, as the activator does after [`crate::ErrorClass::Lost`].
    fn restart(&mut self);
}

/// What happens while a task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The driver has the task.
    Begun,
    /// The driver says why it takes time.
    Progress(Progress),
}

/// What the caller does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Waits on.
    Wait,
    /// Cancels the task.
    Cancel,
}

impl Reaction {
    /// Cancels where `cancels` holds.
    pub fn cancel_if(cancels: bool) -> Self {
        if cancels { Self::Cancel } else { Self::Wait }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The driver says why.
    #[error("{class:?}: {0}", class = .0.class)]
    Driver(#[from] DriverError),
    /// The driver's process ended or broke the protocol.
    #[error("the driver broke: {0}")]
    Broken(String),
    /// Nothing came in time.
    #[error("no answer within its limit and {SLACK:?}")]
    Overdue,
}

/// Runs every row.
pub fn run(subject: &mut dyn Subject, expect: &Expectations) -> Report {
    let mut run = run::Run::new(subject, expect);
    Report {
        rows: rows::ROWS
            .iter()
            .map(|(name, row)| Row {
                name,
                verdict: row(&mut run).into(),
            })
            .collect(),
    }
}
