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
/// A card that is not back by then never will be.
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
    while site.client().sign(&query(), &statement("out")).status == 200 {}
    let begun = Instant::now();
    site.token_mut(TOKEN).card().insert_again();
    while site.client().sign(&query(), &statement("after")).status != 200 {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("the card does not come back"));
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn query() -> String {
    format!("key={KEY}")
}
