//! A card: what the daemon adds to its driver, and how soon it signs again after it was taken out.

use std::io;
use std::time::{Duration, Instant};

use sealwright_softhsm_tests::site::{Site, statement};

use crate::aims;
use crate::figures::Figures;
use crate::sample::median;
use crate::token::{self, KEY, PIV, Plan, TOKEN};

/// A card does one thing at a time: one caller shows all there is.
const CONNECTIONS: usize = 1;
/// A card that is not missed, or not back, by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures and prints.
pub fn measure(plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let plan = Plan {
        connections: vec![CONNECTIONS],
        ..plan.clone()
    };
    token::measure(&PIV, &plan, figures)?;
    let mut site = token::site(PIV.spec()).start();
    let times: io::Result<Vec<f64>> = (0..plan.rounds).map(|_| replug(&mut site)).collect();
    let replug = median(times?);
    println!("a card that is put in again signs after {replug:.2} s (median)\n");
    figures.add(&aims::PIV_REPLUG, replug);
    Ok(())
}

/// Seconds until the first good signature, asked for again and again as a client would.
fn replug(site: &mut Site) -> io::Result<f64> {
    site.client().sign(&query(), &statement("before")).ok();
    site.token_mut(TOKEN).card().take_out();
    // The loss has to be noticed, or the next answer could still be one of before.
    let is_missed = |status| status != 200;
    ask_until(site, "out", is_missed, "nobody misses the card")?;
    let begun = Instant::now();
    site.token_mut(TOKEN).card().insert_again();
    let signs = |status| status == 200;
    ask_until(site, "after", signs, "the card does not come back")?;
    Ok(begun.elapsed().as_secs_f64())
}

fn ask_until(
    site: &Site,
    subject: &str,
    is_wanted: impl Fn(u16) -> bool,
    late: &str,
) -> io::Result<()> {
    let begun = Instant::now();
    while !is_wanted(site.client().sign(&query(), &statement(subject)).status) {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(late));
        }
    }
    Ok(())
}

fn query() -> String {
    format!("key={KEY}")
}
