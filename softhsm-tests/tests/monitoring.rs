//! The monitoring socket: live, ready, degraded, and metrics that Prometheus itself reads.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use sealwright_softhsm_tests::site::process::{Process, wait_for};
use sealwright_softhsm_tests::site::{CI, SOON, Site, TokenSpec, statement};
use serde_json::Value;
use support::assert_denied;

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .token(TokenSpec::scripted("other").key("second"))
        .start()
}

fn metrics(site: &Site) -> String {
    site.monitor("/metrics").unwrap().text()
}

fn documented() -> BTreeSet<String> {
    let page = include_str!("../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('`'));
    let names = names.map(|(name, _)| name.to_owned());
    names
        .filter(|name| name.starts_with("sealwright_") || name.starts_with("cvss_"))
        .collect()
}

/// What `# TYPE` announces, as the documentation names it.
fn announced(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.map(|line| match line.split_once(' ').unwrap() {
        (family, "counter") => format!("{family}_total"),
        (family, _) => family.to_owned(),
    });
    names.collect()
}

#[test]
fn everything_that_is_served_is_documented_and_ends_as_open_metrics_asks() {
    let site = site();
    site.client().sign("key=release", &statement("a")).ok();
    let denied = site.client().sign("key=nobody", &statement("a"));
    assert_denied(&site, &denied, "unknown_key");
    let answer = site.monitor("/metrics").unwrap();
    let kind = answer.header("content-type").unwrap().to_owned();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let (announced, documented) = (announced(&text), documented());
    let unknown: Vec<_> = announced.difference(&documented).collect();
    assert_eq!(unknown, Vec::<&String>::new());
    // The rest speaks of what this host does not have.
    let absent: Vec<_> = documented
        .difference(&announced)
        .map(String::as_str)
        .collect();
    let elsewhere = [
        "sealwright_canary_age_seconds",
        "sealwright_canary_failed",
        "sealwright_frozen",
        "sealwright_key_rotation_due",
        "sealwright_key_rotation_soon",
        "sealwright_metrics_series_dropped",
        "sealwright_witness_age_seconds",
        "sealwright_witness_lag_records",
        "sealwright_witness_quorum_age_seconds",
    ];
    assert_eq!(absent, elsewhere);
}

#[test]
fn a_signature_counts_for_its_key_its_kind_of_token_and_its_outcome() {
    let site = site();
    site.client().sign("key=release", &statement("a")).ok();
    site.client()
        .sign("key=release&key=second", &statement("b"))
        .ok();
    let _ = site.client().sign("key=nobody", &statement("c"));
    let count = |name: &str| site.metric(name);
    assert_eq!(
        count("sealwright_key_signatures_total{key=\"default/release\"}"),
        2.0
    );
    assert_eq!(
        count("sealwright_key_signatures_total{key=\"default/second\"}"),
        1.0
    );
    let time = "sealwright_sign_duration_seconds_count";
    assert_eq!(
        count(&format!("{time}{{kind=\"scripted\",outcome=\"signed\"}}")),
        2.0
    );
    assert_eq!(
        count(&format!("{time}{{kind=\"none\",outcome=\"denied\"}}")),
        1.0
    );
    assert_eq!(count("sealwright_sign_requests_total{code=\"ok\"}"), 2.0);
    assert_eq!(count("sealwright_denials_total{code=\"unknown_key\"}"), 1.0);
    assert!(count("sealwright_token_call_duration_seconds_count{token=\"soft\"}") >= 2.0);
    assert!(count("sealwright_journal_commit_duration_seconds_count") >= 3.0);
    assert!(count("sealwright_journal_bytes") >= f64::from(4 << 20));
    assert!(count("sealwright_state_free_bytes") > 0.0);
    let ends = "sealwright_certificate_expiry_timestamp_seconds";
    assert!(count(&format!("{ends}{{use=\"caller\",tenant=\"default\"}}")) > 1.7e9);
    assert!(count(&format!("{ends}{{use=\"server\",tenant=\"\"}}")) > 1.7e9);
}

#[test]
fn a_denial_of_any_endpoint_is_counted() {
    let site = site();
    let frozen = site.caller_of(CI).post(
        "/v1/freeze",
        &serde_json::json!({"scope": "all", "reason": "x"}),
    );
    assert_eq!(frozen.code(), "denied");
    assert_eq!(
        site.metric("sealwright_denials_total{code=\"denied\"}"),
        1.0
    );
}

#[test]
fn a_token_that_is_away_makes_the_host_degraded_and_not_unready() {
    let mut site = site();
    assert_eq!(site.monitor("/healthz").unwrap().text(), "ok\n");
    site.token_mut("other").stop();
    site.wait_for_token("other", "out-of-service");
    assert_eq!(site.monitor("/livez").unwrap().status, 200);
    assert_eq!(site.monitor("/readyz").unwrap().status, 200);
    let health = site.monitor("/healthz").unwrap();
    assert_eq!(health.status, 503);
    assert!(health.text().contains("token other: "), "{}", health.text());
    let state = |state: &str| site.metric(&format!("sealwright_health{{state=\"{state}\"}}"));
    assert_eq!(
        (state("live"), state("ready"), state("degraded")),
        (1.0, 1.0, 1.0)
    );
    let driver =
        "sealwright_driver_state{token=\"other\",kind=\"scripted\",state=\"out-of-service\"}";
    assert_eq!(site.metric(driver), 1.0);
    assert!(site.metric("sealwright_token_failures_total{token=\"other\"}") >= 1.0);
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn without_any_token_that_signs_the_host_is_not_ready() {
    let mut site = site();
    for token in ["other", "soft"] {
        site.token_mut(token).stop();
        site.wait_for_token(token, "out-of-service");
    }
    // The log's own token is still there.
    let ready = site.monitor("/readyz").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("token soft: "), "{}", ready.text());
}

#[test]
fn rows_beyond_max_series_are_left_out_and_counted() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("a").key("b").key("c"))
        .monitor_line("max_series = 2")
        .start();
    for key in ["a", "b", "c"] {
        site.client()
            .sign(&format!("key={key}"), &statement("x"))
            .ok();
    }
    let text = metrics(&site);
    let rows = text.matches("sealwright_key_signatures_total{").count();
    assert_eq!(rows, 3, "{text}");
    assert_eq!(
        site.metric("sealwright_key_signatures_total{key=\"other\"}"),
        1.0
    );
    let dropped = "sealwright_metrics_series_dropped{metric=\"sealwright_driver_state\"}";
    // Three states of two tokens.
    assert_eq!(site.metric(dropped), 4.0);
}

#[test]
fn promtool_finds_nothing_to_say_of_rules_and_their_tests() {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/prometheus"
    ));
    for args in [
        ["check", "rules", "sealwright.rules.yml"],
        ["test", "rules", "sealwright.rules.test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(args).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    // Each alert is tried both ways.
    let rules = fs::read_to_string(folder.join("sealwright.rules.yml")).unwrap();
    let tests = fs::read_to_string(folder.join("sealwright.rules.test.yml")).unwrap();
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        let tried = tests.matches(&format!("alertname: {alert}\n")).count();
        assert_eq!(tried, 2, "{alert}");
    }
}

/// A port that nobody uses now.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// One answer of Prometheus's own API.
fn ask(port: u16, query: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET /api/v1/{query} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

#[test]
fn prometheus_scrapes_the_socket_through_systemds_proxy_and_loads_the_rules() {
    let site = site();
    site.client().sign("key=release", &statement("a")).ok();
    let (proxied, own) = (port(), port());
    let socket = site.path("run/monitor.sock");
    let mut proxy = Command::new("systemd-socket-activate");
    proxy.arg(format!("--listen=127.0.0.1:{proxied}"));
    proxy.arg("/lib/systemd/systemd-socket-proxyd").arg(socket);
    let _proxy = Process::start(proxy, None, &site.path("logs/proxy.log")).unwrap();
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/prometheus/sealwright.rules.yml"
    );
    let config = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: ['{rules}']\nscrape_configs:\n  - job_name: sealwright\n    \
         static_configs: [{{targets: ['127.0.0.1:{proxied}']}}]\n"
    );
    fs::write(site.path("prometheus.yml"), config).unwrap();
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!(
        "--config.file={}",
        site.path("prometheus.yml").display()
    ));
    prometheus.arg(format!(
        "--storage.tsdb.path={}",
        site.path("tsdb").display()
    ));
    prometheus.arg(format!("--web.listen-address=127.0.0.1:{own}"));
    let _prometheus = Process::start(prometheus, None, &site.path("logs/prometheus.log")).unwrap();
    let signed = wait_for("a scrape", SOON * 2, || {
        let answer = ask(own, "query?query=sealwright_key_signatures_total")?;
        answer["data"]["result"].as_array()?.first().cloned()
    });
    assert_eq!(signed["metric"]["key"], "default/release");
    assert_eq!(signed["value"][1], "1");
    // As a counter, not untyped: that is what the negotiated format is for.
    let told = ask(own, "metadata?metric=sealwright_key_signatures").unwrap();
    assert_eq!(
        told["data"]["sealwright_key_signatures"][0]["type"], "counter",
        "{told}"
    );
    let loaded = ask(own, "rules").unwrap();
    assert!(
        loaded["data"]["groups"][0]["rules"]
            .as_array()
            .unwrap()
            .len()
            > 20
    );
}
