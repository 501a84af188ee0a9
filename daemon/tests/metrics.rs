//! The documented metrics are those there are, and rules and dashboard ask for no other.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sealwrightd::metrics::names::{self, Kind};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every name a query may use: a histogram is asked for by its samples.
fn samples() -> BTreeSet<String> {
    let names = names::ALL.iter().flat_map(|metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .map(|suffix| format!("{}{suffix}", metric.name))
            .collect(),
        _ => vec![metric.name.to_owned()],
    });
    names.collect()
}

/// The words of a text that name a metric.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| word.starts_with("sealwright_") || word.starts_with("cvss_"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_documented_metrics_are_the_ones_that_are_served() {
    let page = read("docs/metrics.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `sealwright_") || line.starts_with("| `cvss_"));
    let documented: BTreeSet<(String, String)> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let name = cells.next().unwrap().trim_matches('`').to_owned();
            (name, cells.next().unwrap().to_owned())
        })
        .collect();
    let served = names::ALL
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.kind.as_str().to_owned()));
    assert_eq!(documented, served.collect());
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_exist() {
    for path in [
        "packaging/prometheus/sealwright.rules.yml",
        "packaging/prometheus/sealwright.rules.test.yml",
        "packaging/grafana/sealwright.json",
    ] {
        let asked = metrics_in(&read(path));
        assert!(asked.len() > 10, "{path} asks for too few: {asked:?}");
        let mut known = samples();
        // The rules' tests name one as the value of a label.
        known.extend(names::ALL.iter().map(|metric| metric.name.to_owned()));
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{path}");
    }
}

#[test]
fn the_dashboard_shows_every_metric_but_those_of_its_own_making() {
    let shown = metrics_in(&read("packaging/grafana/sealwright.json"));
    let is_shown = |name: &str| shown.iter().any(|shown| shown.starts_with(name));
    // The first is one of the others in words, the rest are watched by alerts alone.
    let left_out = [
        names::DRIVER_STATE,
        names::POISONED,
        names::CHECKPOINT_SIZE,
        names::CERTIFICATES_EXPIRING,
        names::DENIED_KEYS,
        names::SERIES_DROPPED,
    ];
    let missing = names::ALL
        .iter()
        .filter(|metric| !left_out.contains(metric) && !is_shown(metric.name));
    assert_eq!(
        missing.map(|m| m.name).collect::<Vec<_>>(),
        Vec::<&str>::new()
    );
}

#[test]
fn every_alert_names_a_runbook_that_is_there() {
    let rules = read("packaging/prometheus/sealwright.rules.yml");
    let pages = rules
        .split(['"', ' ', ','])
        .filter(|word| word.starts_with("docs/"));
    let pages: BTreeSet<_> = pages
        .map(|page| page.trim_end_matches([':', '.']))
        .collect();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        assert!(root().join(page).exists(), "{page}");
    }
}
