//! A new mTLS connection per request: to the daemon for a signature, and to an echo for nothing.

use std::io;

use sealwright_softhsm_tests::site::{TokenSpec, statement};

use crate::aims;
use crate::echo;
use crate::figures::Figures;
use crate::load::{self, Ask};
use crate::process::Meter;
use crate::sample::{Sample, Window, median};
use crate::table::{self, Row};
use crate::tls::Endpoint;
use crate::token::{self, KEY, Plan};

/// Connections at once.
const AT_ONCE: [usize; 3] = [1, 4, 16];
/// The row that the aim is about.
const AIM_AT: usize = 16;

/// Measures and prints.
pub fn measure(plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let mut site = token::site(TokenSpec::softhsm("hsm").key(KEY)).start();
    let daemon = Meter::of([site.daemon().id()]);
    let (_echo, plain) = echo::beside(&site)?;
    let ask = Ask::signature(&site, KEY, &statement("bench"))?;
    let ways = [
        ("plain", plain, ask.without_signature()),
        ("daemon", Endpoint::of(&site, &site.socket())?, ask),
    ];
    let mut rows = Vec::new();
    for at_once in AT_ONCE {
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..plan.rounds {
            for ((_, endpoint, ask), samples) in ways.iter().zip(&mut rounds) {
                let window = Window::of(plan.time);
                let load = || load::new_connections(endpoint, ask, at_once, window);
                samples.push(Sample::measure(window, &daemon, load));
            }
        }
        let [plain, signed] = &rounds;
        let ratio = median(
            signed
                .iter()
                .zip(plain)
                .map(|(signed, plain)| signed.rate / plain.rate),
        );
        if at_once == AIM_AT {
            figures.add(&aims::HANDSHAKE, ratio);
        }
        rows.push(Row::plain(at_once, ways[0].0, Sample::median(plain)));
        rows.push(Row::compared(
            at_once,
            ways[1].0,
            Sample::median(signed),
            ratio,
        ));
    }
    println!(
        "{}",
        table::token("A new mTLS connection per request", &rows)
    );
    Ok(())
}
