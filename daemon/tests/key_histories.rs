//! Random histories of one key against a real journal on disk, beside a reference that fits on a page.
//!
//! After each step, and after every restart, the daemon's fold has to say what the reference says.
#![allow(clippy::unwrap_used)]

#[path = "../../core/tests/support/fold.rs"]
mod fold;
mod support;

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::key::{KeyEvent, KeyState, Purpose};
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{Permit, SignFacts, SignIntent, authorise};
use sealwright_core::record::{Event, FreezeScope};
use sealwright_core::state::State;
use sealwright_core::time::Timestamp;
use sealwrightd::audit::writer::{Claim, Journal};
use sealwrightd::audit::{Audit, Settings, open};
use sealwrightd::failpoints::Failpoints;
use support::FixedClock;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Versions that steps speak of; the last may well not be enrolled.
const VERSIONS: RangeInclusive<u32> = 1..=4;

#[derive(Debug, Clone)]
enum Step {
    Enrol,
    Change(u32, KeyEvent),
    Rotate(u32, u32),
    Compromise(u32),
    Schedule(u32, u32),
    Cancel,
    Freeze(Scope),
    Thaw(Scope),
    /// A client's request gets its permit; one that is in flight is given up.
    Authorise,
    /// Its signature is to leave.
    Release,
    /// In good order, or by copying what is on the disk from under the daemon.
    Restart {
        killed: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Tenant,
}

/// What there is to know of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    state: KeyState,
    is_compromised: bool,
    signatures: u64,
}

/// The reference.
#[derive(Debug, Clone, Default)]
struct Key {
    versions: Vec<Life>,
    is_frozen: [bool; 2],
    schedule: Option<(u32, u32)>,
    /// The version of the permit in flight, and whether something happened that makes it void.
    permit: Option<(u32, bool)>,
    /// Whether the newest step was possible.
    was_possible: bool,
}

impl Key {
    fn life(&self, version: u32) -> Option<Life> {
        self.versions.get(version as usize - 1).copied()
    }

    fn state(&self, version: u32) -> Option<KeyState> {
        self.life(version).map(|life| life.state)
    }

    fn active(&self) -> Option<u32> {
        VERSIONS
            .into_iter()
            .find(|v| self.state(*v) == Some(KeyState::Active))
    }

    fn is_frozen(&self) -> bool {
        self.is_frozen.contains(&true)
    }

    fn can_succeed(&self, from: u32, to: u32) -> bool {
        let is_unharmed = self.life(to).is_some_and(|life| !life.is_compromised);
        self.active() == Some(from) && self.state(to) == Some(KeyState::PreActive) && is_unharmed
    }

    fn after(&self, version: u32, event: KeyEvent) -> Option<KeyState> {
        use KeyState::{Active, Deactivated, Destroyed, PreActive, Suspended};
        let life = self.life(version)?;
        let may_sign = !life.is_compromised && !self.is_frozen() && self.active().is_none();
        match (life.state, event) {
            (PreActive, KeyEvent::Activate) | (Suspended, KeyEvent::Resume) => {
                may_sign.then_some(Active)
            }
            (Active, KeyEvent::Suspend) => Some(Suspended),
            (Active | Suspended, KeyEvent::Deactivate) => Some(Deactivated),
            (PreActive | Deactivated, KeyEvent::Destroy) => Some(Destroyed),
            _ => None,
        }
    }

    fn is_possible(&self, step: &Step) -> bool {
        match *step {
            Step::Enrol => !self.is_frozen(),
            Step::Change(version, event) => self.after(version, event).is_some(),
            Step::Rotate(from, to) => !self.is_frozen() && self.can_succeed(from, to),
            Step::Schedule(from, to) => {
                self.schedule.is_none() && !self.is_frozen() && self.can_succeed(from, to)
            }
            Step::Cancel => self.schedule.is_some(),
            Step::Compromise(version) => {
                self.life(version).is_some_and(|life| !life.is_compromised)
            }
            Step::Freeze(scope) => !self.is_frozen[scope as usize],
            Step::Thaw(scope) => self.is_frozen[scope as usize],
            Step::Authorise => !self.is_frozen() && self.active().is_some(),
            Step::Release => matches!(self.permit, Some((_, false))),
            Step::Restart { .. } => true,
        }
    }

    fn enter(&mut self, version: u32, state: KeyState) {
        self.versions[version as usize - 1].state = state;
        if let Some((_, is_void)) = self.permit.as_mut().filter(|(of, _)| *of == version) {
            *is_void = true;
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Enrol => self.versions.push(Life {
                state: KeyState::PreActive,
                is_compromised: false,
                signatures: 0,
            }),
            Step::Change(version, event) => {
                let after = self.after(version, event).unwrap();
                self.enter(version, after);
            }
            Step::Rotate(from, to) => {
                self.enter(from, KeyState::Deactivated);
                self.enter(to, KeyState::Active);
            }
            Step::Compromise(version) => {
                self.versions[version as usize - 1].is_compromised = true;
                if matches!(
                    self.state(version),
                    Some(KeyState::Active | KeyState::Suspended)
                ) {
                    self.enter(version, KeyState::Deactivated);
                }
            }
            Step::Schedule(from, to) => self.schedule = Some((from, to)),
            Step::Cancel => self.schedule = None,
            Step::Freeze(scope) => {
                self.is_frozen[scope as usize] = true;
                self.permit = self.permit.map(|(version, _)| (version, true));
            }
            Step::Thaw(scope) => self.is_frozen[scope as usize] = false,
            Step::Authorise => self.permit = self.active().map(|version| (version, false)),
            Step::Release => {
                if let Some((version, _)) = self.permit.take() {
                    self.versions[version as usize - 1].signatures += 1;
                }
            }
            Step::Restart { .. } => self.permit = None,
        }
        self.schedule = self
            .schedule
            .filter(|(from, to)| self.can_succeed(*from, *to));
    }
}

impl ReferenceStateMachine for Key {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    /// Mostly what is possible, or histories would soon be over; and what makes a request and a freeze meet.
    fn transitions(key: &Self) -> BoxedStrategy<Step> {
        let (possible, refused): (Vec<_>, Vec<_>) = all_steps()
            .into_iter()
            .partition(|step| key.is_possible(step));
        let meeting = match (key.is_frozen, key.permit) {
            ([true, _], _) => vec![Step::Thaw(Scope::All)],
            ([_, true], _) => vec![Step::Thaw(Scope::Tenant)],
            (_, Some(_)) => vec![
                Step::Freeze(Scope::All),
                Step::Freeze(Scope::Tenant),
                Step::Release,
            ],
            (_, None) => vec![Step::Authorise],
        };
        prop_oneof![
            14 => prop::sample::select(possible),
            3 => prop::sample::select(refused),
            6 => prop::sample::select(meeting),
            1 => any::<bool>().prop_map(|killed| Step::Restart { killed }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.was_possible = state.is_possible(step);
        if state.was_possible {
            state.take(step);
        } else if matches!(step, Step::Release | Step::Authorise) {
            state.permit = None;
        }
        state
    }
}

fn all_steps() -> Vec<Step> {
    use KeyEvent::{Activate, Deactivate, Destroy, Resume, Suspend};
    let mut steps = vec![Step::Cancel, Step::Authorise, Step::Release];
    // A history needs keys more than anything else.
    steps.extend([Step::Enrol, Step::Enrol]);
    for scope in [Scope::All, Scope::Tenant] {
        steps.extend([Step::Freeze(scope), Step::Thaw(scope)]);
    }
    for version in VERSIONS {
        let events = [Activate, Suspend, Resume, Deactivate, Destroy];
        steps.extend(events.map(|event| Step::Change(version, event)));
        steps.push(Step::Compromise(version));
        for to in VERSIONS {
            steps.push(Step::Rotate(version, to));
            // It takes two more steps to see what ends one.
            steps.extend(vec![Step::Schedule(version, to); 3]);
        }
    }
    steps
}

/// The journal on disk, and the request in flight.
struct Log {
    folder: TempDir,
    runtime: Runtime,
    /// Always there but in the middle of a restart.
    audit: Option<Audit>,
    permit: Option<Permit>,
}

fn name() -> KeyName {
    "release".parse().unwrap()
}

fn id(version: u32) -> KeyVersionId {
    name().version(version)
}

fn scope(scope: Scope) -> FreezeScope {
    match scope {
        Scope::All => FreezeScope::All,
        Scope::Tenant => FreezeScope::Tenant(name().tenant().clone()),
    }
}

fn open_in(runtime: &Runtime, folder: &Path) -> Audit {
    let settings = Settings {
        state_dir: folder.to_owned(),
        segment_bytes: SEGMENT_MIN,
        low_water_bytes: 0,
    };
    let failpoints = Arc::new(Failpoints::default());
    runtime
        .block_on(open(&settings, Arc::new(FixedClock), failpoints))
        .unwrap()
}

fn close(audit: Audit) {
    audit.journal.close();
    audit.writer.join().unwrap();
}

impl Log {
    fn new() -> Self {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let Event::Genesis(genesis) = support::genesis() else {
            panic!("no genesis")
        };
        let json = serde_json::to_vec(&genesis).unwrap();
        fs::write(folder.path().join("genesis.json"), json).unwrap();
        let audit = open_in(&runtime, folder.path());
        Self {
            folder,
            runtime,
            audit: Some(audit),
            permit: None,
        }
    }

    fn journal(&self) -> &Journal {
        &self.audit.as_ref().unwrap().journal
    }

    fn state(&self) -> State {
        self.journal().with_state(Clone::clone)
    }

    /// Whether the step was possible.
    fn take(&mut self, step: &Step) -> bool {
        let key = |version: &u32| id(*version).to_string();
        let event = match step {
            Step::Enrol => {
                let next = self.state().next_version(&name());
                fold::enrolled(&key(&next), Purpose::Dsse)
            }
            Step::Change(version, event) => fold::changed(&key(version), *event),
            Step::Rotate(from, to) => fold::rotated(&key(from), &key(to)),
            Step::Compromise(version) => fold::compromised(&key(version), 1),
            Step::Schedule(from, to) => fold::scheduled(&key(from), &key(to), 2),
            Step::Cancel => fold::cancelled(&name().to_string()),
            Step::Freeze(of) => fold::frozen(&scope(*of)),
            Step::Thaw(of) => fold::thawed(&scope(*of)),
            Step::Authorise => return self.authorise(),
            Step::Release => return self.release(),
            Step::Restart { killed } => return self.restart(*killed),
        };
        self.runtime.block_on(self.journal().record(event)).is_ok()
    }

    fn authorise(&mut self) -> bool {
        let (client, key) = (fold::principal("default"), name());
        let facts = SignFacts {
            payload_type: fold::STATEMENT,
            predicate_type: None,
            predicate_known: true,
            subjects: &[],
            payload_len: 1,
            receipt: None,
        };
        let intent = SignIntent {
            principal: &client,
            peer: fold::PEER,
            key: &key,
            facts,
            pae_sha256: Sha256Digest::default(),
            token: sealwright_core::permit::Shown::Nothing,
            now: Timestamp::default(),
            deadline: Instant::now(),
        };
        self.permit = authorise(&self.state(), &fold::allow(), &intent).ok();
        self.permit.is_some()
    }

    fn release(&mut self) -> bool {
        let Some(permit) = self.permit.take() else {
            return false;
        };
        let Event::Sign(record) = fold::signed(permit.key()) else {
            return false;
        };
        let claims = vec![Claim::of(&permit)];
        let released = self.journal().release((), *record, claims);
        self.runtime.block_on(released).is_ok()
    }

    fn restart(&mut self, killed: bool) -> bool {
        let before = self.state();
        self.permit = None;
        // What a killed daemon leaves: the journal as it is now, and nothing that is written at an orderly end.
        let left = killed.then(|| copy_of_journal(self.folder.path()));
        close(self.audit.take().unwrap());
        if let Some(left) = left {
            self.folder = left;
        }
        self.audit = Some(open_in(&self.runtime, self.folder.path()));
        assert_eq!(
            self.state(),
            before,
            "a restart knows what was known before it"
        );
        true
    }

    fn check(&self, key: &Key) {
        let state = self.state();
        let lives: Vec<Life> = state
            .keys()
            .map(|(_, version)| Life {
                state: version.state,
                is_compromised: version.compromise.is_some(),
                signatures: version.signatures,
            })
            .collect();
        assert_eq!(lives, key.versions);
        for of in [Scope::All, Scope::Tenant] {
            let is_frozen = state.freeze_of(&scope(of)).is_some();
            assert_eq!(is_frozen, key.is_frozen[of as usize], "{of:?}");
        }
        let schedule = state.schedule_of(&name()).map(|schedule| {
            let rotation = &schedule.rotation;
            (rotation.from.version, rotation.to.version)
        });
        assert_eq!(schedule, key.schedule);
    }
}

fn copy_of_journal(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let journal = copy.path().join("journal");
    fs::create_dir(&journal).unwrap();
    for file in fs::read_dir(folder.join("journal")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), journal.join(file.file_name())).unwrap();
    }
    copy
}

impl StateMachineTest for Log {
    type SystemUnderTest = Self;
    type Reference = Key;

    fn init_test(_: &Key) -> Self {
        Self::new()
    }

    fn apply(mut log: Self, key: &Key, step: Step) -> Self {
        assert_eq!(log.take(&step), key.was_possible, "{step:?}");
        log.check(key);
        log
    }

    fn teardown(mut log: Self, _: Key) {
        log.audit.take().map(close).unwrap();
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_random_history_of_a_key_goes_as_the_reference_says_over_every_restart(
        sequential 1..60 => Log
    );
}
