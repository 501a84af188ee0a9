//! A model of key life, searched exhaustively: two operators, a client and a crash in every order, over the very fold
//! that the daemon's writer decides with.
//!
//! As in the daemon, a record is decided on with the fold as it is, becomes durable later together with what was
//! decided meanwhile, and is answered only then. A crash loses what was not durable, and all that was in flight.
#![allow(clippy::unwrap_used)]

#[path = "support/fold.rs"]
mod support;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::{KeyEvent, KeyState, Purpose};
use sealwright_core::name::KeyVersionId;
use sealwright_core::permit::{
    RotationIntent, SignFacts, SignIntent, authorise, authorise_rotation,
};
use sealwright_core::record::{Event, FreezeScope, Record, SCHEMA_VERSION};
use sealwright_core::state::State;
use stateright::{Checker as _, Model, Property};
use support::{
    PEER, STATEMENT, allow, changed, compromised, enrolled, frozen, principal, rotated, signed,
    state, thawed,
};

/// The most that the search may take in the default test run.
const LIMIT: Duration = Duration::from_secs(60);

/// Calls that each operator makes.
const CALLS: u8 = 2;
/// Signatures that the client asks for.
const REQUESTS: u8 = 1;

/// A fold with a digest of all that is in it: worlds share it, and are told apart by it.
#[derive(Debug, PartialEq, Eq)]
struct Fold {
    state: State,
    digest: u64,
}

impl Fold {
    fn new(state: State) -> Arc<Self> {
        let text = serde_json::to_string(&state).unwrap();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let digest = hasher.finish();
        Arc::new(Self { state, digest })
    }
}

impl Hash for Fold {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

/// The world between two steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// The fold of what is durable.
    durable: Arc<Fold>,
    /// The fold that decides: with what was accepted since.
    fold: Arc<Fold>,
    /// In order: neither of them is special.
    operators: [Operator; 2],
    client: Client,
    /// Signatures accepted that leave when they are durable.
    accepted: Vec<Release>,
    /// The newest signature that left.
    released: Option<Release>,
    /// Acknowledged as compromised or destroyed.
    doomed: BTreeSet<KeyVersionId>,
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Operator {
    /// Calls left.
    left: u8,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Idle,
    /// The old key has signed the succession statement, whose record is not decided on yet.
    Signed {
        from: u32,
        to: u32,
    },
    /// The record was accepted and is not durable.
    Waits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Client {
    /// Requests left.
    left: u8,
    /// The permit in flight: version, and the record that it relies on.
    permit: Option<(u32, u64)>,
    /// Whether a signature was thrown away.
    was_discarded: bool,
}

/// A signature that was accepted, with what was true of its key in that very moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Release {
    version: u32,
    was_good: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    Change(u32, KeyEvent),
    Compromise(u32),
    Rotate(u32),
    Freeze,
    Thaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    /// An operator calls; of a rotation this is the first half, up to the statement's signature.
    Call(usize, Call),
    /// The second half: the record is decided on.
    Rotate(usize),
    /// The client's request is authorised, and its signature made.
    Authorise,
    /// The release is decided on.
    Release,
    /// The batch becomes durable, and everybody in it is answered.
    Sync,
    /// The power goes; the daemon reads the journal.
    Crash,
}

struct KeyLife;

const VERSIONS: [u32; 2] = [1, 2];

fn id(version: u32) -> KeyVersionId {
    format!("release#{version}").parse().unwrap()
}

impl World {
    fn new() -> Self {
        let fold = Fold::new(state([
            enrolled("release#1", Purpose::Dsse),
            changed("release#1", KeyEvent::Activate),
            enrolled("release#2", Purpose::Dsse),
        ]));
        let operator = Operator {
            left: CALLS,
            step: Step::Idle,
        };
        Self {
            durable: Arc::clone(&fold),
            fold,
            operators: [operator; 2],
            client: Client {
                left: REQUESTS,
                permit: None,
                was_discarded: false,
            },
            accepted: Vec::new(),
            released: None,
            doomed: BTreeSet::new(),
            crashes: 1,
        }
    }

    fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        for (who, operator) in self.operators.iter().enumerate() {
            match operator.step {
                Step::Idle if operator.left > 0 => {
                    acts.extend(calls().map(|call| Act::Call(who, call)));
                }
                Step::Signed { .. } => acts.push(Act::Rotate(who)),
                Step::Idle | Step::Waits => {}
            }
        }
        match self.client.permit {
            None if self.client.left > 0 => acts.push(Act::Authorise),
            None => {}
            Some(_) => acts.push(Act::Release),
        }
        if self.fold.digest != self.durable.digest {
            acts.push(Act::Sync);
        }
        if self.crashes > 0 {
            acts.push(Act::Crash);
        }
        acts
    }

    fn call(&mut self, who: usize, call: Call) -> Option<()> {
        let all = FreezeScope::All;
        let event = match call {
            Call::Rotate(to) => return self.begin_rotation(who, to),
            Call::Change(version, event) => changed(&id(version).to_string(), event),
            Call::Compromise(version) => {
                let now = self.fold.state.last_time().unix_millis();
                compromised(&id(version).to_string(), now)
            }
            Call::Freeze => frozen(&all),
            Call::Thaw => thawed(&all),
        };
        self.decide(who, event)
    }

    /// Decides on a record as the writer does. Time stands still: nothing here may depend on it.
    fn push(&mut self, event: Event) -> Option<()> {
        let mut state = self.fold.state.clone();
        let record = Record {
            v: SCHEMA_VERSION,
            seq: state.next_index(),
            time: state.last_time(),
            event,
        };
        state.apply(&record).ok()?;
        self.fold = Fold::new(state);
        Some(())
    }

    /// A call that is refused leads nowhere new.
    fn decide(&mut self, who: usize, event: Event) -> Option<()> {
        self.push(event)?;
        self.operators[who].left -= 1;
        self.operators[who].step = Step::Waits;
        Some(())
    }

    fn begin_rotation(&mut self, who: usize, to: u32) -> Option<()> {
        let (from, _) = self.fold.state.signing_version(&id(to).key)?;
        let operator = principal("default");
        let intent = RotationIntent {
            principal: &operator,
            peer: PEER,
            from: &id(from),
            to: &id(to),
            token: sealwright_core::permit::Shown::Nothing,
            now: self.fold.state.last_time(),
            deadline: Instant::now(),
        };
        let _ = authorise_rotation(&self.fold.state, &allow(), &intent).ok()?;
        self.operators[who].step = Step::Signed { from, to };
        Some(())
    }

    fn end_rotation(&mut self, who: usize) -> Option<()> {
        let Step::Signed { from, to } = self.operators[who].step else {
            return None;
        };
        let event = rotated(&id(from).to_string(), &id(to).to_string());
        if self.decide(who, event).is_none() {
            self.operators[who].left -= 1;
            self.operators[who].step = Step::Idle;
        }
        Some(())
    }

    fn authorise(&mut self) -> Option<()> {
        let (client, key) = (principal("default"), id(1).key);
        let facts = SignFacts {
            payload_type: STATEMENT,
            predicate_type: None,
            predicate_known: true,
            subjects: &[],
            payload_len: 1,
            receipt: None,
        };
        let intent = SignIntent {
            principal: &client,
            peer: PEER,
            key: &key,
            facts,
            pae_sha256: Sha256Digest::default(),
            token: sealwright_core::permit::Shown::Nothing,
            now: self.fold.state.last_time(),
            deadline: Instant::now(),
        };
        let permit = authorise(&self.fold.state, &allow(), &intent).ok()?;
        self.client.permit = Some((permit.key().version, permit.state_index()));
        self.client.left -= 1;
        Some(())
    }

    fn release(&mut self) -> Option<()> {
        let (version, since) = self.client.permit.take()?;
        let was_good = self.is_good(version);
        let conflict = self.fold.state.check_release(&id(version), since);
        if conflict.is_ok() {
            self.push(signed(&id(version)))?;
            self.accepted.push(Release { version, was_good });
        } else {
            self.client.was_discarded = true;
        }
        Some(())
    }

    /// Whether a version may sign, said without the code that decides it.
    fn is_good(&self, version: u32) -> bool {
        let key = self.fold.state.version(&id(version)).unwrap();
        let is_frozen = self
            .fold
            .state
            .freezes()
            .any(|(_, freeze)| freeze.is_some());
        key.state == KeyState::Active && key.compromise.is_none() && !is_frozen
    }

    fn sync(&mut self) {
        self.durable = Arc::clone(&self.fold);
        if let Some(last) = self.accepted.pop() {
            // One that was not good is never covered up by one that was.
            let bad = self.accepted.drain(..).find(|release| !release.was_good);
            self.released = Some(bad.unwrap_or(last));
        }
        let lost = |version: &u32| {
            let key = self.durable.state.version(&id(*version)).unwrap();
            key.state == KeyState::Destroyed || key.compromise.is_some()
        };
        self.doomed
            .extend(VERSIONS.iter().filter(|v| lost(v)).map(|v| id(*v)));
        for operator in &mut self.operators {
            if operator.step == Step::Waits {
                operator.step = Step::Idle;
            }
        }
    }

    fn crash(&mut self) {
        self.fold = Arc::clone(&self.durable);
        self.accepted.clear();
        self.client.permit = None;
        self.operators.iter_mut().for_each(|o| o.step = Step::Idle);
        self.crashes -= 1;
    }

    fn active(&self) -> usize {
        let active = self
            .fold
            .state
            .keys()
            .filter(|(_, v)| v.state == KeyState::Active);
        active.count()
    }
}

fn calls() -> impl Iterator<Item = Call> {
    use KeyEvent::{Activate, Deactivate, Destroy, Resume, Suspend};
    let changes = [Activate, Suspend, Resume, Deactivate, Destroy];
    let each = VERSIONS.into_iter().flat_map(move |version| {
        let changes = changes.map(|event| Call::Change(version, event));
        changes
            .into_iter()
            .chain([Call::Compromise(version), Call::Rotate(version)])
    });
    each.chain([Call::Freeze, Call::Thaw])
}

impl Model for KeyLife {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        acts.extend(world.acts());
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        match act {
            Act::Call(who, call) => world.call(who, call)?,
            Act::Rotate(who) => world.end_rotation(who)?,
            Act::Authorise => world.authorise()?,
            Act::Release => world.release()?,
            Act::Sync => world.sync(),
            Act::Crash => world.crash(),
        }
        world.operators.sort_unstable();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one version is active", |_, world: &World| {
                world.active() <= 1
            }),
            Property::always(
                "what left was signed by a key that was active at its record",
                |_, world: &World| world.released.is_none_or(|release| release.was_good),
            ),
            Property::always(
                "nothing leads back from compromised or destroyed",
                |_, world: &World| {
                    world.doomed.iter().all(|id| {
                        let key = world.fold.state.version(id).unwrap();
                        let kept = key.compromise.is_some() || key.state == KeyState::Destroyed;
                        kept && key.state != KeyState::Active
                    })
                },
            ),
            // Here belongs "no approval is used twice", as soon as records use up approvals.
            Property::sometimes("a successor signs", |_, world: &World| {
                world.released.is_some_and(|release| release.version == 2)
            }),
            Property::sometimes("a key signs after a thaw", |_, world: &World| {
                let was_frozen = world.durable.state.freezes().count() > 0;
                was_frozen && world.released.is_some()
            }),
            Property::sometimes("a signature is thrown away", |_, world: &World| {
                world.client.was_discarded
            }),
        ]
    }
}

#[test]
fn no_order_of_two_operators_a_client_and_a_crash_breaks_key_life() {
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = KeyLife.checker().threads(threads).spawn_bfs().join();
    let (states, took) = (checker.unique_state_count(), begun.elapsed());
    println!("{states} states explored in {took:.1?}");
    checker.assert_properties();
    assert!(checker.is_done());
    assert!(
        took < LIMIT,
        "{states} states took {took:?}; make the model smaller"
    );
}
