//! The crash storm: daemon and drivers die at every stage and at any moment, under load. Whatever a client
//! received is in the log, and no log it was ever shown is taken back.
//!
//! `SEALWRIGHT_CRASH_KILLS` says how often (default 50), `SEALWRIGHT_CRASH_SEED` repeats a run's choices.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::{Checkpoint, Frontier, Note};
use sealwright_softhsm_tests::site::http::{Client, Connection, Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use support::{all_records, log_key, signature_hashes};

/// Where the daemon can be told to die.
const STAGES: [&str; 12] = [
    "admit",
    "receive",
    "inspect",
    "authorise",
    "prepare",
    "sign",
    "verify",
    "seal",
    "record",
    "journal-write",
    "journal-reply",
    "respond",
];
/// Kills that hit at any moment, between those at stages: the daemon, and the driver of each token.
const ANY_MOMENT: [&str; 8] = [
    "daemon", "soft", "daemon", "hsm", "daemon", "soft", "daemon", "hsm",
];
/// What clients sign with, one thread each.
const KEYS: [&str; 4] = ["key=soft", "key=hsm", "key=soft&key=hsm", "key=soft"];
/// About how many signatures a storm takes: every start reads the whole log again.
const SIGNATURES: usize = 5000;
/// Before a client asks again.
const PAUSE: Duration = Duration::from_millis(5);

/// Choices that can be repeated (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// What a client was given: the record's index, and the hash of each signature.
type Received = (u64, Vec<String>);

/// The clients' side.
#[derive(Default)]
struct Load {
    received: Mutex<Vec<Received>>,
    in_flight: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Signs one statement after the other, and asks again until each is signed.
    fn run(&self, client: &Client, thread: usize) {
        let mut connection = None;
        for n in 0.. {
            let name = format!("{thread}-{n}");
            let request = Request::new("POST", &format!("/v1/sign?{}", KEYS[thread]))
                .header("Content-Type", "application/vnd.in-toto+json")
                .header("Idempotency-Key", &name)
                .body(statement(&name));
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(answer) = self.attempt(client, &mut connection, &request) {
                    let received = (answer.record().unwrap(), signature_hashes(&answer));
                    self.received.lock().unwrap().push(received);
                    break;
                }
                thread::sleep(PAUSE);
            }
        }
    }

    /// One try: the answer, if it is a signature.
    fn attempt(
        &self,
        client: &Client,
        open: &mut Option<Connection>,
        request: &Request,
    ) -> Option<Response> {
        if open.is_none() {
            *open = client.try_connect().ok();
        }
        let connection = open.as_mut()?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let answer = connection.send(request);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Ok(answer) = answer else {
            *open = None;
            return None;
        };
        if answer.status == 200 {
            return Some(answer);
        }
        // What a client may be told while drivers die; anything else is a finding.
        let expected = [
            "token_unavailable",
            "outcome_unknown",
            "idempotency_in_flight",
            "deadline_exceeded",
        ];
        assert!(
            expected.contains(&answer.code().as_str()),
            "{}",
            answer.text()
        );
        None
    }
}

/// The storm's own side.
struct Storm<'l> {
    site: Site,
    dice: Dice,
    load: &'l Load,
    /// Most signatures between a start and the next kill.
    calm: usize,
    kills: BTreeMap<&'static str, usize>,
    in_flight: usize,
    checkpoints: Vec<Checkpoint>,
}

impl Storm<'_> {
    /// One kill, and whatever it takes to have everything running again.
    fn kill(&mut self, place: &'static str) {
        let calm = 1 + self.dice.roll(self.calm);
        match place {
            "daemon" => {
                self.wait_for_signatures(calm);
                self.note_kill(place);
                self.site.kill_daemon();
                self.site.start_daemon();
            }
            "soft" | "hsm" => {
                self.wait_for_signatures(calm);
                self.note_kill(place);
                self.site.token(place).kill_driver();
            }
            stage => {
                self.site.kill_daemon();
                // It may die before it ever says that it is ready.
                let failpoint = format!("{stage}:{calm}");
                self.site
                    .spawn_daemon(&[("SEALWRIGHT_FAILPOINT", &failpoint)]);
                let dead =
                    format!("the daemon to die at {stage} (only builds with debug assertions do)");
                wait_for(&dead, SOON, || self.site.daemon().ended());
                // By its nature, with the request in flight that reached the stage.
                *self.kills.entry(place).or_default() += 1;
                self.in_flight += 1;
                self.site.start_daemon();
            }
        }
        self.note_checkpoint();
    }

    fn wait_for_signatures(&mut self, n: usize) {
        let goal = self.load.count() + n;
        wait_for("the clients to get on", SOON, || {
            (self.load.count() >= goal).then_some(())
        });
        // Not right after an answer, but at any moment.
        let micros = self.dice.roll(10_000) as u64;
        thread::sleep(Duration::from_micros(micros));
    }

    fn note_kill(&mut self, place: &'static str) {
        *self.kills.entry(place).or_default() += 1;
        self.in_flight += usize::from(self.load.in_flight.load(Ordering::Relaxed) > 0);
    }

    /// Keeps the newest checkpoint: the log must contain it for ever.
    fn note_checkpoint(&mut self) {
        let client = self.site.client();
        let text = client.get("/v1/log/checkpoint").ok().text();
        let note = Note::parse(&text).unwrap();
        note.verify([&log_key(&client)]).unwrap();
        self.checkpoints.push(note.text().parse().unwrap());
    }

    /// Everything that anybody was shown must be in the log as it is now.
    fn check(&self, received: &[Received]) {
        let records = all_records(&self.site);
        for (index, hashes) in received {
            let record = &records[usize::try_from(*index).unwrap()].1;
            assert_eq!(record["outcome"], "signed", "record {index}");
            assert_eq!(
                record["signature_sha256"],
                serde_json::json!(hashes),
                "record {index}"
            );
        }
        let mut roots = BTreeMap::new();
        let mut frontier = Frontier::default();
        for (leaf, _) in &records {
            frontier.push(leaf_hash(leaf.as_bytes()));
            roots.insert(frontier.size(), frontier.root());
        }
        for checkpoint in &self.checkpoints {
            assert_eq!(
                roots.get(&checkpoint.size()),
                Some(checkpoint.root()),
                "checkpoint {}",
                checkpoint.size()
            );
        }
        println!(
            "{} signatures received, {} records, {} checkpoints",
            received.len(),
            records.len(),
            self.checkpoints.len()
        );
    }
}

#[test]
fn no_signature_that_left_is_missing_from_the_log_whatever_dies() {
    let kills = usize::try_from(from_env("SEALWRIGHT_CRASH_KILLS").unwrap_or(50)).unwrap();
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let seed = from_env("SEALWRIGHT_CRASH_SEED")
        .unwrap_or(clock.subsec_nanos().into())
        .max(1);
    println!("{kills} kills, SEALWRIGHT_CRASH_SEED={seed}");
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("soft").delay_ms(3))
        .token(TokenSpec::softhsm("hsm").key("hsm"))
        .start();
    let client = site.client();
    let load = Load::default();
    let dice = Dice(seed);
    let mut storm = Storm {
        site,
        dice,
        load: &load,
        calm: (2 * SIGNATURES / kills.max(1)).clamp(10, 150),
        kills: BTreeMap::new(),
        in_flight: 0,
        checkpoints: Vec::new(),
    };
    thread::scope(|scope| {
        for thread in 0..KEYS.len() {
            let (client, load) = (client.clone(), &load);
            scope.spawn(move || load.run(&client, thread));
        }
        let end = StopOnDrop(&load);
        for place in STAGES.iter().chain(&ANY_MOMENT).cycle().take(kills) {
            storm.kill(place);
        }
        drop(end);
    });
    for (place, count) in &storm.kills {
        println!("{count:>4} kills at {place}");
    }
    println!(
        "{} of {kills} kills with a request in flight",
        storm.in_flight
    );
    for place in STAGES.iter().chain(&ANY_MOMENT) {
        assert!(storm.kills.contains_key(place), "no kill at {place}");
    }
    assert!(
        storm.in_flight * 3 >= kills * 2,
        "too few kills with a request in flight"
    );
    storm.check(&load.received.lock().unwrap());
}

/// Ends the clients also when the storm itself fails: the scope waits for them.
struct StopOnDrop<'l>(&'l Load);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}
