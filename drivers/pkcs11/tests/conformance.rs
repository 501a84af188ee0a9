//! The suite that defines a driver, against SoftHSM: in the process and through the wire.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};

use sealwright_driver_api::conformance::{self, Expectations, Hands, InProcess, OverWire, Verdict};
use sealwright_driver_api::{
    Descriptor, DriverError, KeyDriver, KeySpec, Scheme, Token, TokenConfig,
};
use sealwright_driver_host::Secrets;
use sealwright_softhsm_tests::softhsm::SoftHsm;
use support::driver::{activated, key};
use support::{Config, other_process, token};

/// RSA bits of the keys here; the other lengths have a test of their own.
const RSA_BITS: u16 = 2048;

fn address(prefix: &str, scheme: Scheme) -> String {
    format!("pkcs11:object={prefix}-{scheme}")
}

/// A key for each scheme, and two keys with one label.
fn prepare(hsm: &SoftHsm) -> PathBuf {
    let config = Config::of(hsm);
    let mut driver = config.serve();
    for scheme in Scheme::PLAIN {
        driver
            .generate(&address("key", scheme), scheme, RSA_BITS)
            .unwrap();
    }
    for id in ["01", "02"] {
        let file = hsm.dir().join(id);
        let args = ["genpkey", "-algorithm", "ed25519", "-out"];
        assert!(
            Command::new("openssl")
                .args(args)
                .arg(&file)
                .status()
                .unwrap()
                .success()
        );
        hsm.import(&file, "twin", id);
    }
    config.write()
}

fn expectations(config: &Path) -> Expectations {
    let config = TokenConfig::read(config).unwrap();
    let keys = Scheme::PLAIN
        .map(|scheme| (key(&address("key", scheme)), scheme))
        .to_vec();
    let missing = key("pkcs11:object=missing");
    let generate = Scheme::PLAIN.map(|scheme| KeySpec {
        uri: key(&address("made", scheme)),
        scheme,
        rsa_bits: RSA_BITS,
    });
    Expectations {
        sessions: 2,
        ambiguous: Some(key("pkcs11:object=twin")),
        generate: generate.to_vec(),
        hands: hands(&config.state_dir.with_file_name("tokens")),
        ..Expectations::new("pkcs11", &config.label, &config.serial, keys, missing)
    }
}

/// Takes the folder of the one token away and brings it back.
fn hands(tokens: &Path) -> Hands {
    let folder = fs::read_dir(tokens)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let away = tokens.with_file_name("away");
    let back = (away.clone(), folder.clone());
    Hands {
        unplug: Some(Box::new(move || fs::rename(&folder, &away).unwrap())),
        replug: Some(Box::new(move || fs::rename(&back.0, &back.1).unwrap())),
        ..Hands::default()
    }
}

fn assert_conforms(subject: &mut dyn conformance::Subject, config: &Path) {
    let report = conformance::run(subject, &expectations(config));
    assert!(report.passed(), "\n{report}");
    let asked = |row: &&conformance::Row| !matches!(row.verdict, Verdict::NotApplicable(_));
    // Only the three rows about touching do not apply.
    assert_eq!(
        report.rows.iter().filter(asked).count(),
        report.rows.len() - 3,
        "\n{report}"
    );
}

#[test]
fn the_driver_conforms_in_the_process() {
    const TEST: &str = "the_driver_conforms_in_the_process";
    let Some(config) = other_process::part() else {
        let hsm = token();
        return other_process::run(TEST, prepare(&hsm).to_str().unwrap(), &hsm);
    };
    let path = PathBuf::from(config);
    let config = TokenConfig::read(&path).unwrap();
    let (open, closed) = channel();
    let mut subject = InProcess::new(move || {
        let token = sealwright_driver_pkcs11::open(&config, &Secrets::new(&config))?;
        Ok(Box::new(Watched {
            token,
            _open: open.clone(),
        }))
    });
    assert_conforms(&mut subject, &path);
    drop(subject);
    assert!(closed.recv().is_err());
}

/// A token that tells when it is closed. Its last user is a thread that nobody joins, and this process must
/// not end while that is in C_Finalize: SoftHSM's exit handlers would crash.
struct Watched {
    token: Box<dyn Token>,
    _open: Sender<()>,
}

impl Token for Watched {
    fn descriptor(&self) -> &Descriptor {
        self.token.descriptor()
    }

    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError> {
        self.token.open_worker()
    }
}

#[test]
fn the_driver_conforms_through_the_wire() {
    let hsm = token();
    let config = prepare(&hsm);
    let (mut process, program) = activated(&hsm.conf(), &config);
    let mut subject = OverWire::new(move || process.connect(&program));
    assert_conforms(&mut subject, &config);
}
