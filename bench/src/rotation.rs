//! A key that is rotated while sixty-four clients sign with it: what they notice.

use std::io;
use std::thread;
use std::time::Duration;

use sealwright_softhsm_tests::site::{Site, TokenSpec, statement};
use serde_json::{Value, json};

use crate::aims;
use crate::figures::Figures;
use crate::load::{self, Ask};
use crate::process::Meter;
use crate::sample::{Sample, Window};
use crate::table::{self, Row};
use crate::tls::Endpoint;
use crate::token::{self, KEY, Plan, TOKEN};

/// Clients at once.
const CONNECTIONS: usize = 64;
/// Rotations in one round.
const ROTATIONS: u32 = 3;

/// Measures and prints.
pub fn measure(plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let mut site = token::site(TokenSpec::softhsm(TOKEN).key(KEY)).start();
    let daemon = Meter::of([site.daemon().id()]);
    let endpoint = Endpoint::of(&site, &site.socket())?;
    // Not verified here: the key is another one after each rotation.
    let ask = Ask::signature(&site, KEY, &statement("bench"))?.without_signature();
    let sample = || {
        let callers = load::connect(&endpoint, CONNECTIONS)?;
        let window = Window::of(plan.time);
        let load = || load::closed_loop(callers, &ask, window);
        io::Result::Ok(Sample::measure(window, &daemon, load))
    };
    let (mut before, mut during) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        before.push(sample()?);
        let rotating = thread::scope(|scope| {
            let rotations = scope.spawn(|| rotate(&site, round, plan.time));
            let sampled = sample();
            // What went wrong there has panicked and said so.
            rotations.join().map(|()| sampled)
        });
        let panicked = |_| io::Error::other("a rotation failed");
        during.push(rotating.map_err(panicked)??);
    }
    let (before, during) = (Sample::median(&before), Sample::median(&during));
    figures.add(&aims::ROTATION_ERRORS, during.errors as f64);
    let ratio = during.rate / before.rate;
    let rows = [
        Row::plain(CONNECTIONS, "before", before),
        Row::compared(CONNECTIONS, "during", during, ratio),
    ];
    println!(
        "{}",
        table::token("A key is rotated three times under load", &rows)
    );
    Ok(())
}

/// Three rotations, spread over the window.
fn rotate(site: &Site, round: usize, time: Duration) {
    let operator = site.operator();
    for number in 0..ROTATIONS {
        thread::sleep(time / (ROTATIONS + 1));
        let uri = format!("pkcs11:object={KEY}-{round}-{number}");
        let wanted = json!({
            "key": KEY, "token": TOKEN, "uri": uri, "scheme": "ecdsa-p256-sha256",
        });
        let made = operator.post("/v1/keys/generate", &wanted).ok().json();
        let enrolment = json!({
            "key": KEY, "token": TOKEN, "uri": made["uri"], "spki_sha256": made["spki_sha256"],
            "activate": false,
        });
        let enrolled = operator.post("/v1/keys", &enrolment).ok().json();
        let version = enrolled["key"]
            .as_str()
            .and_then(|key| key.rsplit_once('#'));
        let version: Option<u32> = version.and_then(|(_, version)| version.parse().ok());
        let body: Value = json!({ "to": version });
        operator
            .post(&format!("/v1/keys/default/{KEY}/rotate"), &body)
            .ok();
    }
}
