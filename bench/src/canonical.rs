//! The canonical form of receipts beside `serde_json_canonicalizer`, which goes through doubles and takes a key that stands
//! twice for the last of the two.

use std::io;
use std::time::Instant;

use sealwright_receipts::canonical::{Nulls, Rule, canonicalize};

use crate::aims;
use crate::figures::Figures;
use crate::sample::median;
use crate::statement::{COMPONENTS, statement};

/// Measures and prints.
pub fn measure(rounds: usize, figures: &mut Figures) -> io::Result<()> {
    let text = statement(COMPONENTS)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let q4 = canonicalize(&text, Rule::Q4, Nulls::Keep).map_err(io::Error::other)?;
        ours.push(mb_per_s(&text, begun));
        let begun = Instant::now();
        let value: serde_json::Value = serde_json::from_slice(&text)?;
        let jcs = serde_json_canonicalizer::to_vec(&value)?;
        theirs.push(mb_per_s(&text, begun));
        if q4 != jcs {
            return Err(io::Error::other("the two canonical forms differ"));
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    figures.add(&aims::CANONICAL, ours / theirs);
    println!(
        "Canonical form of {} bytes: jcs-rfc8785+q4 {ours:.0} MB/s, serde_json_canonicalizer {theirs:.0} MB/s\n",
        text.len()
    );
    Ok(())
}

fn mb_per_s(text: &[u8], begun: Instant) -> f64 {
    text.len() as f64 / 1e6 / begun.elapsed().as_secs_f64()
}
