//! One token, three ways to it, interleaved.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use sealwright_softhsm_tests::site::{Builder, DAEMON_UID, Kind, Site, TokenSpec, statement};
use sealwright_softhsm_tests::softhsm::CONF_VARIABLE;

use crate::aims;
use crate::child::{Order, Worker};
use crate::disk::Sync;
use crate::figures::Figures;
use crate::load::{self, Ask};
use crate::open_loop;
use crate::process::Meter;
use crate::sample::{Sample, Window, median};
use crate::table::{self, Row};
use crate::tls::Endpoint;

/// The key's label, on the token and with the daemon.
pub const KEY: &str = "release";
/// The token's name.
const TOKEN: &str = "token";
/// Requests that wait at any time.
const CONNECTIONS: [usize; 4] = [1, 4, 16, 64];

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Every figure is the median of so many rounds.
    pub rounds: usize,
    /// What one point takes in one round.
    pub time: Duration,
}

/// A token to measure.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    title: &'static str,
    kind: Kind,
    sessions: u16,
    delay_ms: u32,
}

/// The quickest token: what we add shows most.
pub const SOFTHSM: Subject = Subject {
    title: "SoftHSM, P-256, 2 sessions",
    kind: Kind::SoftHsm,
    sessions: 2,
    delay_ms: 0,
};
/// One session by nature, in an HMAC session with parameter encryption.
pub const SWTPM: Subject = Subject {
    title: "swtpm, P-256, HMAC session",
    kind: Kind::Swtpm,
    sessions: 1,
    delay_ms: 0,
};
/// As slow as a network HSM: what we add must not show.
pub const SCRIPTED: Subject = Subject {
    title: "scripted, P-256, 16 sessions of 5 ms",
    kind: Kind::Scripted,
    sessions: 16,
    delay_ms: 5,
};

impl Subject {
    fn spec(&self) -> TokenSpec {
        TokenSpec::new(TOKEN, self.kind)
            .sessions(self.sessions)
            .delay_ms(self.delay_ms)
            .key(KEY)
    }

    /// Signatures per second that the device itself allows, where that is known.
    fn capacity(&self) -> f64 {
        f64::from(self.sessions) * 1e3 / f64::from(self.delay_ms)
    }
}

/// A signing host as it is installed, with `token`.
pub fn site(token: TokenSpec) -> Builder {
    Site::builder()
        .sizes(64 << 20, 16 << 20)
        .checkpoint_interval_ms(1000)
        .token(token)
}

/// Measures a token, prints its table and takes its figures.
pub fn measure(subject: &Subject, plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let mut rig = Rig::set_up(subject)?;
    if subject.kind == Kind::SoftHsm {
        figures.add(&aims::RSS_IDLE, rig.daemon_alone().read().rss_mib);
    }
    let mut points: Vec<_> = CONNECTIONS.into_iter().map(Point::new).collect();
    let mut syncs = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("{}: round {round} of {}", subject.title, plan.rounds);
        syncs.push(Sync::measure(&rig.site.state_dir())?);
        for point in &mut points {
            point.measure(&mut rig, plan.time)?;
        }
    }
    let rows: Vec<_> = points.iter().flat_map(Point::rows).collect();
    println!("{}", table::token(subject.title, &rows));
    println!("{}", table::threads(&rows));
    println!("{}", table::syncs(&syncs));
    judge(subject, &points, figures);
    if subject.kind == Kind::Scripted {
        added_latency(subject, plan, &rig, figures)?;
    }
    Ok(())
}

/// The three ways, ready.
struct Rig {
    raw: Worker,
    wire: Worker,
    driver: u32,
    endpoint: Endpoint,
    ask: Ask,
    daemon: Vec<u32>,
    site: Site,
    // Last, so that the children that use their tokens have ended.
    _others: [Site; 2],
}

impl Rig {
    fn set_up(subject: &Subject) -> io::Result<Self> {
        let raw_site = site(subject.spec()).lay_out();
        let mut wire_site = site(subject.spec()).lay_out();
        let mut daemon_site = site(subject.spec()).start();
        let raw = raw_worker(&raw_site, subject)?;
        wire_site.token_mut(TOKEN).serve();
        let wire = wire_worker(&wire_site)?;
        let pid = |site: &Site| {
            site.token(TOKEN)
                .driver_pid()
                .ok_or(io::ErrorKind::NotFound)
        };
        Ok(Self {
            raw,
            wire,
            driver: pid(&wire_site)?,
            endpoint: Endpoint::of(&daemon_site, &daemon_site.socket())?,
            ask: Ask::signature(&daemon_site, KEY, &statement("bench"))?,
            daemon: vec![daemon_site.daemon().id(), pid(&daemon_site)?],
            site: daemon_site,
            _others: [raw_site, wire_site],
        })
    }

    fn daemon_alone(&self) -> Meter {
        Meter::of(self.daemon.first().copied())
    }

    fn daemon_and_driver(&self) -> Meter {
        Meter::of(self.daemon.iter().copied())
    }
}

fn raw_worker(site: &Site, subject: &Subject) -> io::Result<Worker> {
    let token = site.token(TOKEN);
    let mut args: Vec<OsString> = vec!["raw".into(), "--config".into(), token.config().into()];
    args.extend(["--key".into(), token.uri(KEY).into()]);
    let mut env: Vec<(OsString, OsString)> = vec![("TSS2_LOG".into(), "all+NONE".into())];
    if subject.kind == Kind::SoftHsm {
        // SoftHSM has no session limit: alone in its process, it is used by as many threads as there is work.
        args.push("--session-each".into());
        env.push((CONF_VARIABLE.into(), token.softhsm().conf().into()));
    }
    Worker::start(args, env, 0)
}

fn wire_worker(site: &Site) -> io::Result<Worker> {
    let token = site.token(TOKEN);
    let args: [OsString; 5] = [
        "wire".into(),
        "--socket".into(),
        token.socket().into(),
        "--key".into(),
        token.uri(KEY).into(),
    ];
    Worker::start(args, [], DAEMON_UID)
}

/// The rounds of one number of connections.
struct Point {
    connections: usize,
    raw: Vec<Sample>,
    driver: Vec<Sample>,
    daemon: Vec<Sample>,
}

impl Point {
    fn new(connections: usize) -> Self {
        Self {
            connections,
            raw: Vec::new(),
            driver: Vec::new(),
            daemon: Vec::new(),
        }
    }

    fn measure(&mut self, rig: &mut Rig, time: Duration) -> io::Result<()> {
        let connections = self.connections;
        let order = |pids| Order {
            connections,
            time,
            pids,
        };
        self.raw.push(rig.raw.measure(&order(Vec::new()))?);
        self.driver
            .push(rig.wire.measure(&order(vec![rig.driver]))?);
        let callers = load::connect(&rig.endpoint, connections)?;
        let window = Window::of(time);
        let load = || load::closed_loop(callers, &rig.ask, window);
        self.daemon
            .push(Sample::measure(window, &rig.daemon_and_driver(), load));
        Ok(())
    }

    /// Median of what the rounds gave; raw and the other way of one round ran one after the other.
    fn against_raw(&self, way: &[Sample], compare: fn(&Sample, &Sample) -> f64) -> f64 {
        median(
            way.iter()
                .zip(&self.raw)
                .map(|(way, raw)| compare(way, raw)),
        )
    }

    fn ratio(&self, way: &[Sample]) -> f64 {
        self.against_raw(way, |way, raw| way.rate / raw.rate)
    }

    /// CPU without the token's own.
    fn cpu_beyond(&self, way: &[Sample]) -> f64 {
        self.against_raw(way, |way, raw| way.cpu_us - raw.cpu_us)
    }

    fn rows(&self) -> [Row; 3] {
        let compared = |name, way: &[Sample]| {
            Row::compared(self.connections, name, Sample::median(way), self.ratio(way))
                .beyond(self.cpu_beyond(way))
        };
        [
            Row::plain(self.connections, "raw", Sample::median(&self.raw)),
            compared("driver", &self.driver),
            compared("daemon", &self.daemon),
        ]
    }

    fn errors(&self) -> u64 {
        let all = self.raw.iter().chain(&self.driver).chain(&self.daemon);
        all.map(|sample| sample.errors).sum()
    }
}

fn judge(subject: &Subject, points: &[Point], figures: &mut Figures) {
    let [one, _, sixteen, sixty_four] = points else {
        return;
    };
    match subject.kind {
        Kind::SoftHsm => {
            let errors: u64 = points.iter().map(Point::errors).sum();
            figures.add(&aims::SOFTHSM_C1, one.ratio(&one.daemon));
            figures.add(&aims::SOFTHSM_C16, sixteen.ratio(&sixteen.daemon));
            figures.add(&aims::SOFTHSM_ERRORS, errors as f64);
            figures.add(&aims::SOFTHSM_CPU, sixteen.cpu_beyond(&sixteen.daemon));
        }
        Kind::Swtpm => {
            let waits = sixteen.daemon.iter().map(|s| s.max_us / s.p50_us);
            figures.add(&aims::SWTPM_C16, sixteen.ratio(&sixteen.daemon));
            figures.add(&aims::SWTPM_WAIT, waits.fold(f64::NAN, f64::max));
        }
        Kind::Scripted => {
            let rate = Sample::median(&sixty_four.daemon).rate;
            figures.add(&aims::SCRIPTED_RATIO, rate / subject.capacity());
        }
    }
}

/// Share of what the device allows that arrives in the open loop.
const LOAD: f64 = 0.8;

fn added_latency(
    subject: &Subject,
    plan: &Plan,
    rig: &Rig,
    figures: &mut Figures,
) -> io::Result<()> {
    let rate = subject.capacity() * LOAD;
    let mut added = Vec::new();
    let mut samples = Vec::new();
    for _ in 0..plan.rounds {
        let disk = Sync::measure(&rig.site.state_dir())?;
        let callers = load::connect(&rig.endpoint, CONNECTIONS[3])?;
        let window = Window::of(plan.time);
        let load = || open_loop::run(callers, &rig.ask, rate, window);
        let sample = Sample::measure(window, &rig.daemon_and_driver(), load);
        let device_us = f64::from(subject.delay_ms) * 1e3;
        added.push((sample.p99_us - device_us - disk.p99_us) / 1e3);
        samples.push(sample);
    }
    let all = Sample::median(&samples);
    println!(
        "Open loop, {rate:.0} arrivals/s: {:.0} signatures/s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {} errors\n",
        all.rate,
        all.p50_us / 1e3,
        all.p99_us / 1e3,
        all.max_us / 1e3,
        all.errors,
    );
    figures.add(&aims::SCRIPTED_ADDED, median(added));
    Ok(())
}
