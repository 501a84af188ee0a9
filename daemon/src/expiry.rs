//! Certificates that run out soon: the callers' that were seen by this run, and the daemon's own files.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sealwright_core::expiry::is_soon;
use sealwright_core::name::Tenant;
use sealwright_core::time::Timestamp;
use serde::Serialize;

/// Callers remembered; beyond it the one seen longest ago is forgotten.
pub const CALLERS_MAX: usize = 1024;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// The daemon's own.
    Server,
    /// A root of a trust domain.
    Ca,
    /// A caller's.
    Caller,
}

impl Use {
    /// As in status and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Ca => "ca",
            Self::Caller => "caller",
        }
    }
}

/// A certificate of the daemon's own files, as read at start.
#[derive(Debug, Clone)]
pub struct OwnCertificate {
    /// What for.
    pub kind: Use,
    /// The file.
    pub path: PathBuf,
    /// Its life.
    pub life: Life,
}

/// From when until when a certificate is good.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// `notBefore`.
    pub from: Timestamp,
    /// `notAfter`.
    pub until: Timestamp,
}

/// A certificate that has run out or soon will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expiring {
    /// What for.
    #[serde(rename = "use")]
    pub kind: Use,
    /// The caller's identity, or the file.
    pub name: String,
    /// When it runs out.
    pub not_after: Timestamp,
}

/// Which certificates there are, and how soon is soon.
pub struct Expiries {
    own: Vec<OwnCertificate>,
    days: u32,
    // Held for a look or an insertion.
    callers: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug, Clone)]
struct Seen {
    tenant: Tenant,
    life: Life,
    at: Timestamp,
}

impl Expiries {
    /// Of a daemon with these certificates; soon is within `days`, see [`is_soon`].
    pub fn new(own: Vec<OwnCertificate>, days: u32) -> Self {
        Self {
            own,
            days,
            callers: Mutex::default(),
        }
    }

    /// Notes a caller's certificate, once per connection; a renewed one takes the place of the old one.
    pub fn note(&self, caller: String, tenant: &Tenant, life: Life, now: Timestamp) {
        let seen = Seen {
            tenant: tenant.clone(),
            life,
            at: now,
        };
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.insert(caller, seen);
        if callers.len() > CALLERS_MAX {
            let oldest = callers.iter().min_by_key(|(_, seen)| seen.at);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                callers.remove(&oldest);
            }
        }
    }

    /// When the first certificate of each use runs out, callers' by tenant; the daemon's own have none.
    pub fn first_ends(&self) -> Vec<(Use, String, Timestamp)> {
        let own = self.own.iter();
        let own = own.map(|own| ((own.kind, String::new()), own.life.until));
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let callers = callers
            .values()
            .map(|seen| ((Use::Caller, seen.tenant.to_string()), seen.life.until));
        let mut first: BTreeMap<(Use, String), Timestamp> = BTreeMap::new();
        for (what, until) in own.chain(callers) {
            let end = first.entry(what).or_insert(until);
            *end = until.min(*end);
        }
        let ends = first
            .into_iter()
            .map(|((kind, tenant), until)| (kind, tenant, until));
        ends.collect()
    }

    /// Those that have run out or soon will, the first one first.
    pub fn soon(&self, now: Timestamp) -> Vec<Expiring> {
        let own = self.own.iter();
        let own = own.map(|own| (own.kind, own.path.display().to_string(), own.life));
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let callers = callers
            .iter()
            .map(|(id, seen)| (Use::Caller, id.clone(), seen.life));
        let mut all: Vec<Expiring> = own
            .chain(callers)
            .filter(|(_, _, life)| is_soon(now, life.from, life.until, self.days))
            .map(|(kind, name, life)| Expiring {
                kind,
                name,
                not_after: life.until,
            })
            .collect();
        all.sort_by(|a, b| (a.not_after, &a.name).cmp(&(b.not_after, &b.name)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    /// Days from some day on, which is late enough for certificates from before it.
    fn at(days: i64) -> Timestamp {
        Timestamp::from_unix_millis((1000 + days) * DAY)
    }

    fn until(days: i64) -> Life {
        Life {
            from: at(-900),
            until: at(days),
        }
    }

    #[test]
    fn what_runs_out_within_the_days_is_told_the_first_one_first() {
        let own = |kind, path: &str, days| OwnCertificate {
            kind,
            path: path.into(),
            life: until(days),
        };
        let own = vec![
            own(Use::Server, "server.pem", 10),
            own(Use::Ca, "ca.pem", 15),
        ];
        let expiries = Expiries::new(own, 14);
        expiries.note("ci".to_owned(), &Tenant::default(), until(3), at(0));
        let names = |now| {
            let soon = expiries.soon(at(now)).into_iter();
            soon.map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["ci", "server.pem"]);
        assert_eq!(names(2), ["ci", "server.pem", "ca.pem"]);
        expiries.note("ci".to_owned(), &Tenant::default(), until(90), at(1));
        assert_eq!(names(0), ["server.pem"]);
    }

    #[test]
    fn of_too_many_callers_the_one_seen_longest_ago_is_forgotten() {
        let expiries = Expiries::new(Vec::new(), 14);
        for (n, time) in (0..=CALLERS_MAX).zip(0..) {
            expiries.note(n.to_string(), &Tenant::default(), until(1), at(time));
        }
        let soon = expiries.soon(at(0));
        assert_eq!(soon.len(), CALLERS_MAX);
        assert!(soon.iter().all(|one| one.name != "0"));
    }
}
