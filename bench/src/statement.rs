//! A large payload: the daemon's CPU for one signature over a CycloneDX statement of about 5 MB.

use std::io;

use sealwright_softhsm_tests::site::{TokenSpec, sha256_hex};
use serde_json::json;

use crate::aims;
use crate::figures::Figures;
use crate::load::{self, Ask};
use crate::process::Meter;
use crate::sample::{Sample, Window, median};
use crate::tls::Endpoint;
use crate::token::{self, KEY, Plan};

/// Components of the generated bill of materials; about 5 MB.
pub(crate) const COMPONENTS: usize = 12_500;

/// Measures and prints.
pub fn measure(plan: &Plan, figures: &mut Figures) -> io::Result<()> {
    let mut site = token::site(TokenSpec::softhsm("hsm").key(KEY)).start();
    let daemon = Meter::of([site.daemon().id()]);
    let payload = statement(COMPONENTS)?;
    let endpoint = Endpoint::of(&site, &site.socket())?;
    let ask = Ask::signature(&site, KEY, &payload)?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let callers = load::connect(&endpoint, 1)?;
        let window = Window::of(plan.time);
        let load = || load::closed_loop(callers, &ask, window);
        rounds.push(Sample::measure(window, &daemon, load));
    }
    let cpu_ms = median(rounds.iter().map(|sample| sample.cpu_us / 1e3));
    figures.add(&aims::STATEMENT, cpu_ms);
    let all = Sample::median(&rounds);
    println!(
        "Statement of {} bytes: {:.1} signatures/s, p50 {:.1} ms, daemon {cpu_ms:.1} ms CPU, RSS {:.0} MiB\n",
        payload.len(),
        all.rate,
        all.p50_us / 1e3,
        all.rss_mib,
    );
    Ok(())
}

/// A CycloneDX statement with so many components.
pub(crate) fn statement(components: usize) -> io::Result<Vec<u8>> {
    let component = |number: usize| {
        let name = format!("component-{number}");
        let version = format!("{}.{}.{}", number % 7, number % 31, number % 101);
        json!({
            "type": "library",
            "bom-ref": format!("pkg:generic/bench/{name}@{version}"),
            "name": name,
            "version": version,
            "description": "A library with \"quotes\", a caf\u{e9} and a line\nof its own, as descriptions are.",
            "hashes": [{"alg": "SHA-256", "content": sha256_hex(name.as_bytes())}],
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "purl": format!("pkg:generic/bench/{name}@{version}"),
        })
    };
    let components: Vec<_> = (0..components).map(component).collect();
    Ok(serde_json::to_vec(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "bench", "digest": {"sha256": sha256_hex(b"bench")}}],
        "predicateType": "https://cyclonedx.org/bom",
        "predicate": {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components},
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_statement_has_about_five_megabytes() {
        let len = statement(COMPONENTS).unwrap().len();
        assert!((4_900_000..5_300_000).contains(&len), "{len}");
    }
}
