//! One token: its sites, its table, its figures.

use std::io;
use std::time::Duration;

use sealwright_softhsm_tests::site::{Builder, Kind, Site, TokenSpec};

use crate::aims;
use crate::disk::Sync;
use crate::figures::Figures;
use crate::open_loop;
use crate::parts::Parts;
use crate::point::Point;
use crate::rig::Rig;
use crate::sample::Sample;
use crate::table;

/// The key's label, on the token and with the daemon.
pub const KEY: &str = "release";
/// The token's name.
pub const TOKEN: &str = "token";
/// Requests that wait at any time, where nothing else is asked for.
pub const CONNECTIONS: [usize; 4] = [1, 4, 16, 64];

/// What is measured, how long and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every figure is the median of so many rounds.
    pub rounds: usize,
    /// What one point takes in one round.
    pub time: Duration,
    /// Requests that wait at any time, one point each.
    pub connections: Vec<usize>,
}

/// A token to measure.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Heads its table.
    pub title: &'static str,
    /// What is behind the driver.
    pub kind: Kind,
    /// Sessions that the driver process opens.
    pub sessions: u16,
    /// What a scripted device takes for a signature.
    pub delay_ms: u32,
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

/// The PIN is shown for each signature, and a card takes its time: what we add must not show.
pub const PIV: Subject = Subject {
    title: "virtual YubiKey, PIV, P-256, PIN each time",
    kind: Kind::Piv,
    sessions: 1,
    delay_ms: 0,
};

impl Subject {
    /// The token, with [`KEY`] on it.
    pub fn spec(&self) -> TokenSpec {
        TokenSpec::new(TOKEN, self.kind)
            .sessions(self.sessions)
            .delay_ms(self.delay_ms)
            .key(KEY)
    }

    /// Signatures per second that the device itself allows, where that is known.
    pub fn capacity(&self) -> f64 {
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
    let mut points: Vec<_> = plan.connections.iter().copied().map(Point::new).collect();
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
    if subject.kind == Kind::SoftHsm {
        let parts = Parts::measure(&rig, plan.time)?;
        println!("{}", table::parts(&parts, &points, &syncs));
    }
    if subject.kind == Kind::Scripted {
        open_loop::measure(subject, plan, &rig, figures)?;
    }
    Ok(())
}

fn judge(subject: &Subject, points: &[Point], figures: &mut Figures) {
    let at = |connections| {
        let mut points = points.iter();
        points.find(|point| point.connections == connections)
    };
    match subject.kind {
        Kind::SoftHsm => {
            if let Some(one) = at(1) {
                figures.add(&aims::SOFTHSM_C1, one.ratio(&one.daemon));
            }
            if let Some(sixteen) = at(16) {
                figures.add(&aims::SOFTHSM_C16, sixteen.ratio(&sixteen.daemon));
                figures.add(&aims::SOFTHSM_CPU, sixteen.cpu_beyond(&sixteen.daemon));
            }
            let errors: u64 = points.iter().map(Point::errors).sum();
            figures.add(&aims::SOFTHSM_ERRORS, errors as f64);
        }
        Kind::Swtpm => {
            if let Some(sixteen) = at(16) {
                let waits = sixteen.daemon.iter().map(|s| s.max_us / s.p50_us);
                figures.add(&aims::SWTPM_C16, sixteen.ratio(&sixteen.daemon));
                figures.add(&aims::SWTPM_WAIT, waits.fold(f64::NAN, f64::max));
            }
        }
        Kind::Scripted => {
            if let Some(most) = at(64) {
                let rate = Sample::median(&most.daemon).rate;
                figures.add(&aims::SCRIPTED_RATIO, rate / subject.capacity());
            }
        }
        Kind::Piv => {
            if let Some(one) = at(1) {
                figures.add(&aims::PIV_C1, one.ratio(&one.daemon));
            }
        }
        // It signs a few times a second: nothing that we add could show.
        Kind::Fido2 => {}
    }
}
