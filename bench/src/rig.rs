//! The three ways to a token, ready to be measured.

use std::ffi::OsString;
use std::io;

use sealwright_softhsm_tests::site::{DAEMON_UID, Kind, Site, statement};

use crate::child::Worker;
use crate::load::Ask;
use crate::process::Meter;
use crate::tls::Endpoint;
use crate::token::{KEY, Subject, TOKEN, site};

/// The three ways, ready.
pub struct Rig {
    /// The driver's library in a child.
    pub raw: Worker,
    /// A child in the daemon's place, before a driver process.
    pub wire: Worker,
    /// That driver process.
    pub driver: u32,
    /// The daemon's API.
    pub endpoint: Endpoint,
    /// For a signature.
    pub ask: Ask,
    /// The daemon and its driver process.
    daemon: Vec<u32>,
    /// The daemon's.
    pub site: Site,
    // Last, so that the children that use their tokens have ended.
    _others: [Site; 2],
}

impl Rig {
    /// Makes three tokens and starts what uses them.
    pub fn set_up(subject: &Subject) -> io::Result<Self> {
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

    /// Watches the daemon.
    pub fn daemon_alone(&self) -> Meter {
        Meter::of(self.daemon.first().copied())
    }

    /// Watches the daemon and its driver process.
    pub fn daemon_and_driver(&self) -> Meter {
        Meter::of(self.daemon.iter().copied())
    }
}

fn raw_worker(site: &Site, subject: &Subject) -> io::Result<Worker> {
    let token = site.token(TOKEN);
    let mut args: Vec<OsString> = vec!["raw".into(), "--config".into(), token.config().into()];
    args.extend(["--key".into(), token.uri(KEY).into()]);
    if subject.kind == Kind::SoftHsm {
        // SoftHSM has no session limit: alone in its process, it is used by as many threads as there is work.
        args.push("--session-each".into());
    }
    let env = token.environment().into_iter();
    Worker::start(
        args,
        env.map(|(name, value)| (name.into(), value.into())),
        0,
    )
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
