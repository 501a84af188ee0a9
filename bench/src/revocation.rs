//! A key that is revoked while clients sign with it: what is signed after the call was accepted.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use sealwright_softhsm_tests::site::http::{Client, Request};
use sealwright_softhsm_tests::site::{Site, TokenSpec, statement};
use serde_json::json;

use crate::aims;
use crate::figures::Figures;
use crate::sample::median;
use crate::token::{self, Plan, TOKEN};

/// Clients at once.
const CONNECTIONS: usize = 16;
/// How long they sign before the key is revoked.
const BEFORE: Duration = Duration::from_millis(300);

/// What the clients of one round saw.
#[derive(Default)]
struct Seen {
    /// When each request was sent that was signed.
    signed: Vec<Instant>,
    /// When the first refusal arrived.
    refused: Option<Instant>,
}

/// Measures and prints.
pub fn measure(plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let site = token::site(TokenSpec::scripted(TOKEN)).start();
    let rounds: Vec<(usize, f64)> = (0..plan.rounds).map(|round| revoke(&site, round)).collect();
    // The worst of all: it shall never be another.
    let late = rounds
        .iter()
        .map(|(late, _)| *late)
        .max()
        .unwrap_or_default();
    let to_refusal = median(rounds.iter().map(|(_, ms)| *ms));
    figures.add(&aims::REVOCATION, late as f64);
    figures.add(&aims::REVOCATION_MS, to_refusal);
    println!(
        "A key is revoked under {CONNECTIONS} clients: {late} requests sent after the accepted call were signed, first \
         refusal {to_refusal:.2} ms after it\n"
    );
    Ok(())
}

/// Requests that were sent after the revocation was accepted and signed all the same, and the milliseconds from there to
/// the first refusal; 0 where one arrived before.
fn revoke(site: &Site, round: usize) -> (usize, f64) {
    let key = format!("revoked-{round}");
    enrol(site, &key);
    let seen = Mutex::new(Seen::default());
    let accepted = thread::scope(|scope| {
        for client in 0..CONNECTIONS {
            let (caller, key, seen) = (site.client(), &key, &seen);
            scope.spawn(move || sign(&caller, key, client, seen));
        }
        thread::sleep(BEFORE);
        let path = format!("/v1/keys/default/{key}/1/compromise");
        site.operator()
            .post(&path, &json!({"reason": "bench"}))
            .ok();
        Instant::now()
    });
    let seen = seen.into_inner().unwrap_or_default();
    let late = seen.signed.iter().filter(|sent| **sent > accepted).count();
    let refused = seen.refused.unwrap_or(accepted);
    let to_refusal = refused.saturating_duration_since(accepted);
    (late, to_refusal.as_secs_f64() * 1e3)
}

/// Signs until it is refused.
fn sign(caller: &Client, key: &str, client: usize, seen: &Mutex<Seen>) {
    let mut connection = caller.connect();
    let (mut signed, query) = (Vec::new(), format!("key={key}"));
    for number in 0.. {
        let request = Request::sign(&query, &statement(&format!("{client}-{number}")));
        let sent = Instant::now();
        let answer = connection.send(&request);
        if !answer.is_ok_and(|answer| answer.status == 200) {
            break;
        }
        signed.push(sent);
    }
    let now = Instant::now();
    if let Ok(mut seen) = seen.lock() {
        seen.signed.extend(signed);
        let first = seen.refused.map_or(now, |refused| refused.min(now));
        seen.refused = Some(first);
    }
}

fn enrol(site: &Site, key: &str) {
    let operator = site.operator();
    let uri = format!("scripted:object={key}");
    let wanted = json!({"key": key, "token": TOKEN, "uri": uri, "scheme": "ecdsa-p256-sha256"});
    let made = operator.post("/v1/keys/generate", &wanted).ok().json();
    let enrolment = json!({
        "key": key, "token": TOKEN, "uri": made["uri"], "spki_sha256": made["spki_sha256"],
    });
    operator.post("/v1/keys", &enrolment).ok();
}
