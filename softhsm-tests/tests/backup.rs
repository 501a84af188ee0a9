//! A backup taken while the daemon signs is the beginning of the log's successor, and holds no secret.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sealwright_softhsm_tests::site::{Kind, OPERATOR, Site, TokenSpec, statement};
use serde_json::Value;
use support::text;

const NEW: &str = "sealwright.test/log2";

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .log_on(Kind::SoftHsm)
        .start()
}

/// `sealwright ARGS` as root on this host.
fn as_root(site: &Site, args: &[&str]) -> Output {
    let mut command = Command::new(site.program("sealwright"));
    command.args(args);
    command.env("SEALWRIGHT_CONFIG", site.path("etc/sealwright.toml"));
    command.output().unwrap()
}

fn backup(site: &Site, name: &str) -> (String, Value) {
    let to = site.path(name).to_str().unwrap().to_owned();
    let output = as_root(site, &["--json", "backup", "create", &to]);
    assert!(output.status.success(), "{output:?}");
    (to, serde_json::from_slice(&output.stdout).unwrap())
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_backup_made_while_signing_goes_on_begins_the_next_log_on_a_new_host() {
    let mut site = site();
    let signed = site.client().sign("key=release", &statement("first")).ok();
    let busy = AtomicBool::new(true);
    let copies = thread::scope(|scope| {
        for _ in 0..2 {
            let client = site.client();
            let busy = &busy;
            scope.spawn(move || {
                let again = statement("again");
                while busy.load(Ordering::Relaxed)
                    && client.sign("key=release", &again).status == 200
                {}
            });
        }
        let copies: Vec<_> = (0..4)
            .map(|n| backup(&site, &format!("copy-{n}")).0)
            .collect();
        busy.store(false, Ordering::Relaxed);
        copies
    });
    let mut sizes = Vec::new();
    for copy in &copies {
        let checked = as_root(&site, &["backup", "check", copy]);
        assert!(checked.status.success(), "{checked:?}");
        let out = site.path("shard.json");
        let _ = fs::remove_file(&out);
        let read = site
            .shard(&Path::new(copy).join("state"), &out, &["--json"])
            .ok();
        sizes.push(read.json()["size"].as_u64().unwrap());
    }
    // Everything that was answered before it began is in it.
    assert!(sizes[0] > signed.record().unwrap(), "{sizes:?}");
    assert!(sizes.is_sorted(), "{sizes:?}");

    // The host is lost; the new one has the token, and the newest backup.
    site.kill_daemon();
    fs::remove_dir_all(site.state_dir()).unwrap();
    let newest = Path::new(copies.last().unwrap());
    for part in ["sealwright.toml", "policy.cedar", "tokens/hsm.toml"] {
        let (saved, there) = (
            newest.join("config").join(part),
            site.path("etc").join(part),
        );
        assert_eq!(fs::read(saved).unwrap(), fs::read(there).unwrap(), "{part}");
    }
    let file = site.path("shard.json");
    let more = ["--continues", file.to_str().unwrap(), "--generate-log-key"];
    let _ = site.init(NEW, "pkcs11:object=log-2", &more).ok();
    site.start_daemon();
    let resume = ["keys", "resume", "release", "--reason", "restored"];
    let _ = site.sealwright(OPERATOR, &resume).ok();
    site.client().sign("key=release", &statement("second")).ok();
    assert_eq!(
        text(&site.status()["predecessor"], "origin"),
        "sealwright.test/log"
    );
}

#[test]
fn no_pin_and_no_private_key_is_in_a_backup_and_each_is_named() {
    let site = site();
    let token = site.token("hsm");
    let credential = token.dir().join("pin");
    let pin = fs::read_to_string(&credential).unwrap();
    fs::write(
        site.path("etc/tls/old.key"),
        "-----BEGIN PRIVATE KEY-----\nAA==\n",
    )
    .unwrap();
    let (to, manifest) = backup(&site, "copy");
    for path in files(Path::new(&to)) {
        let bytes = fs::read(&path).unwrap();
        let said = String::from_utf8_lossy(&bytes);
        assert!(
            !said.contains(pin.trim()),
            "{} holds the PIN",
            path.display()
        );
        assert!(!said.contains("PRIVATE KEY--"), "{}", path.display());
    }
    let left_out = manifest["left_out"].to_string();
    for name in [
        credential.to_str().unwrap(),
        "tls/server.key",
        "tls/old.key",
    ] {
        assert!(left_out.contains(name), "{name}: {left_out}");
    }
    // The folder is root's alone.
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&to).unwrap());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_wrapped_keys_of_a_tpm_are_in_a_backup() {
    let site = Site::builder()
        .token(TokenSpec::swtpm("tpm").key("release"))
        .start();
    let (to, _) = backup(&site, "copy");
    let blobs = files(&Path::new(&to).join("tokens/tpm"));
    let has = |label: &str| {
        blobs
            .iter()
            .any(|path| path.to_str().unwrap().contains(label))
    };
    assert!(has("release"), "{blobs:?}");
}

#[test]
fn a_damaged_backup_is_told_by_name() {
    let site = site();
    let (to, _) = backup(&site, "copy");
    let policy = Path::new(&to).join("config/policy.cedar");
    fs::write(&policy, "permit (principal, action, resource);").unwrap();
    fs::remove_file(Path::new(&to).join("config/tokens/hsm.toml")).unwrap();
    let checked = as_root(&site, &["backup", "check", &to]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("policy.cedar") && said.contains("hsm.toml"),
        "{said}"
    );
}

#[test]
fn a_backup_overwrites_nothing_and_does_not_go_into_what_it_copies() {
    let site = site();
    let (to, _) = backup(&site, "copy");
    let again = as_root(&site, &["backup", "create", &to]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let inside = site.path("state/copy");
    let inside = as_root(&site, &["backup", "create", inside.to_str().unwrap()]);
    assert_eq!(inside.status.code(), Some(2), "{inside:?}");
    let none = as_root(&site, &["backup", "check", "/nowhere"]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
}

#[test]
fn a_bundle_after_an_incident_holds_what_is_asked_for_and_no_secret() {
    let site = site();
    site.client().sign("key=release", &statement("a")).ok();
    let pin = fs::read_to_string(site.token("hsm").dir().join("pin")).unwrap();
    let tokens = site.path("etc/tokens/hsm.toml");
    let config = fs::read_to_string(&tokens).unwrap();
    fs::write(&tokens, format!("# pin = \"{}\"\n{config}", pin.trim())).unwrap();
    let file = site.path("bundle.json");
    let bundle = as_root(&site, &["doctor", "--bundle", file.to_str().unwrap()]);
    assert!(
        bundle.status.code().is_some_and(|code| code < 2),
        "{bundle:?}"
    );
    let said = fs::read_to_string(&file).unwrap();
    assert!(!said.contains(pin.trim()), "the PIN is in it");
    assert!(!said.contains("PRIVATE KEY--"), "a key is in it");
    let key = fs::read_to_string(site.path("etc/tls/server.key")).unwrap();
    let body = key.lines().nth(1).unwrap();
    assert!(!said.contains(body), "the daemon's key is in it");
    let bundle: Value = serde_json::from_str(&said).unwrap();
    assert!(text(&bundle["monitor"], "/metrics").contains("sealwright_log_size"));
    assert!(text(&bundle["monitor"], "/healthz").contains("200 OK"));
    assert!(text(&bundle["config"], "sealwright.toml").contains("[api]"));
    let names = bundle["state"].to_string();
    assert!(names.contains("journal/0000000000.swj"), "{names}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}
