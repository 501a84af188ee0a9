//! A real YubiKey, where somebody has one: `HW=1 make test-hw`, see docs/hardware.md. Nothing on it is changed.
//!
//! `SEALWRIGHT_HW_SERIAL` names it, `SEALWRIGHT_HW_PIN` is a file of mode 0600 with its PIN, `SEALWRIGHT_HW_SLOT` (9c) holds a
//! P-256 key that wants no touch, and `SEALWRIGHT_HW_ROOTS` is a file with its maker's certificates.
#![allow(clippy::unwrap_used)]

mod support;

use std::env::var;
use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sealwright_core::evidence::{Document, Nonce, Roots};
use sealwright_core::key::EvidenceGrade;
use sealwright_core::spki::Spki;
use sealwright_core::verify::verify_message_p1363;
use sealwright_driver_api::{
    KeyDriver, KeyUri, Scheme, SignContext, SignInput, SignRequest, Signature, TokenConfig,
};
use sealwright_driver_host::Secrets;
use support::{Host, SERIAL};
use x509_cert::Certificate;
use x509_cert::der::Encode as _;

const SIGNATURES: u32 = 20;

#[test]
#[ignore = "needs a YubiKey: HW=1 make test-hw"]
fn a_real_card_describes_signs_and_attests_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "kind = 'piv'\nsocket = 'piv.sock'\nlabel = 'card'\nserial = {:?}\ncredential = {:?}\nstate_dir = {:?}\n",
        var("SEALWRIGHT_HW_SERIAL").unwrap(),
        var("SEALWRIGHT_HW_PIN").unwrap(),
        folder.path(),
    );
    let file = folder.path().join("card.toml");
    fs::write(&file, text).unwrap();
    let config = TokenConfig::read(&file).unwrap();
    let token = sealwright_driver_piv::open(&config, &Secrets::new(&config)).unwrap();
    println!("{:?}", token.descriptor());
    let mut worker = token.open_worker().unwrap();
    let slot = var("SEALWRIGHT_HW_SLOT").unwrap_or_else(|_| "9c".to_owned());
    let key: KeyUri = format!("piv:slot={slot}").parse().unwrap();
    worker.health().unwrap();
    let described = worker.describe(&key).unwrap();
    println!("{:?}", described.claims);
    signs(worker.as_mut(), &key, &described.spki_der);
    attests(worker.as_mut(), &key);
}

fn signs(worker: &mut dyn KeyDriver, key: &KeyUri, spki: &[u8]) {
    let scheme = Scheme::EcdsaP256Sha256;
    let cancelled = AtomicBool::new(false);
    let mut times = Vec::new();
    for number in 0..SIGNATURES {
        let message = number.to_be_bytes();
        let request = SignRequest {
            key: key.clone(),
            scheme,
            input: SignInput::of(scheme, &[&message]),
        };
        let begun = Instant::now();
        let context = SignContext::new(begun + Duration::from_secs(30), &cancelled, &());
        let Signature::Raw(raw) = worker.sign(&request, &context).unwrap() else {
            panic!("another form");
        };
        times.push(begun.elapsed());
        verify_message_p1363(spki, scheme, &[&message], &raw).unwrap();
    }
    times.sort_unstable();
    println!(
        "{SIGNATURES} signatures, median {:?}",
        times[times.len() / 2]
    );
}

fn attests(worker: &mut dyn KeyDriver, key: &KeyUri) {
    let nonce = Nonce::of(&[b"hardware"]);
    let raw = worker.attester().unwrap().attest(key, &nonce).unwrap();
    let chain = fs::read(var("SEALWRIGHT_HW_ROOTS").unwrap()).unwrap();
    let chain = Certificate::load_pem_chain(&chain).unwrap();
    let ders: Vec<_> = chain.iter().map(|one| one.to_der().unwrap()).collect();
    let spki = Spki::from_der(raw.spki_der);
    let wanted = spki.sha256();
    let document = Document::new(raw.nonce, raw.token, key.clone(), spki, raw.statement);
    let found = document.verify(wanted, Some(nonce), &Roots::new(&ders).unwrap());
    assert_eq!(found.unwrap().grade, EvidenceGrade::Attested);
}

/// Or the test above could be broken for as long as nobody plugs a key in.
#[test]
fn the_test_for_real_cards_passes_with_the_virtual_one() {
    let host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    let config = host.write();
    let roots = host.state().join("roots.pem");
    fs::write(&roots, host.reader.maker_pem()).unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--ignored", "--nocapture"])
        .env("SEALWRIGHT_HW_SERIAL", SERIAL.to_string())
        .env("SEALWRIGHT_HW_PIN", config.with_file_name("pin"))
        .env("SEALWRIGHT_HW_ROOTS", roots)
        .envs(host.reader.environment());
    let output = test.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
