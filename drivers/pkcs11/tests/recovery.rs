//! The recovery ladder against a token that goes away and comes back.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sealwright_core::verify::verify_message_p1363;
use sealwright_driver_api::wire::Call;
use sealwright_driver_api::{
    DriverError, ErrorClass, KeyDriver, KeySpec, Scheme, SignContext, SignInput, SignRequest,
    Signature, Task, Token, TokenConfig,
};
use sealwright_driver_host::{Secrets, exit};
use sealwright_softhsm_tests::softhsm::SoftHsm;
use support::driver::{into_signature, key};
use support::{Config, other_process, token};

const K: &str = "pkcs11:object=k";
const SCHEME: Scheme = Scheme::EcdsaP256Sha256;

/// Takes a folder away, which for SoftHSM is what pulling the plug is for a device.
fn unplug(folder: &Path) {
    fs::rename(folder, away(folder)).unwrap();
}

fn plug_in(folder: &Path) {
    fs::rename(away(folder), folder).unwrap();
}

/// Beside `tokens`, so that SoftHSM does not find it there.
fn away(folder: &Path) -> PathBuf {
    let root = folder
        .ancestors()
        .find(|path| path.join("softhsm2.conf").exists())
        .unwrap();
    root.join("away")
}

/// The folder of the one token among all tokens.
fn one_token(tokens: &Path) -> PathBuf {
    fs::read_dir(tokens)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
}

#[test]
fn a_token_that_goes_away_ends_the_process_and_the_next_one_finds_it_again() {
    let hsm = token();
    let one = one_token(&hsm.tokens());
    goes_away_and_comes_back(&hsm, &one, "no token has");
}

#[test]
fn a_module_that_lost_all_its_tokens_ends_the_process_and_the_next_one_finds_them_again() {
    let hsm = token();
    goes_away_and_comes_back(&hsm, &hsm.tokens(), "C_Initialize failed");
}

fn goes_away_and_comes_back(hsm: &SoftHsm, folder: &Path, why: &str) {
    let config = Config::of(hsm);
    let mut driver = config.serve();
    driver.generate(K, SCHEME, 0).unwrap();
    driver.sign(K, SCHEME, b"m").unwrap();
    unplug(folder);
    // The key only looks missing: the token itself does not answer either.
    let error = driver.sign(K, SCHEME, b"m").unwrap_err();
    assert_eq!(error.class, ErrorClass::Lost, "{error}");
    assert!(
        error.detail.contains("token hsm") && error.detail.contains(why),
        "{error}"
    );
    assert_eq!(driver.wait().code(), Some(i32::from(exit::LOST)));

    let driver = config.serve();
    let error = driver.token().unwrap_err();
    assert_eq!(error.class, ErrorClass::Config, "{error}");
    assert!(error.detail.contains(why), "{error}");
    assert_eq!(driver.wait().code(), Some(i32::from(exit::NOT_OPENED)));

    plug_in(folder);
    config.serve().sign(K, SCHEME, b"m").unwrap();
}

#[test]
fn a_health_check_asks_the_token_and_not_the_session() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    driver.call(Call::Health).unwrap();
    unplug(&hsm.tokens());
    let error = driver.call(Call::Health).unwrap_err();
    assert_eq!(error.class, ErrorClass::Lost, "{error}");
}

#[test]
fn many_requests_in_flight_on_two_workers_are_all_answered() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let spki = driver.generate(K, SCHEME, 0).unwrap().spki_der;
    let message = |i: u8| [i; 9];
    let mut waiting: Vec<(u64, u8)> = (0..200)
        .map(|i| (driver.send_sign(K, SCHEME, &message(i)), i))
        .collect();
    while !waiting.is_empty() {
        let (id, result) = driver.reply();
        let position = waiting.iter().position(|(waits, _)| *waits == id).unwrap();
        let (_, i) = waiting.swap_remove(position);
        let signature = into_signature(result.unwrap());
        verify_message_p1363(&spki, SCHEME, &[&message(i)], &signature).unwrap();
    }
}

/// A token opened in this process, for what the host would end the process over.
struct InProcess {
    token: Box<dyn Token>,
    folder: PathBuf,
}

impl InProcess {
    fn open(config: &str) -> Self {
        let config = TokenConfig::read(Path::new(config)).unwrap();
        let folder = one_token(&config.state_dir.with_file_name("tokens"));
        fs::create_dir_all(&config.state_dir).unwrap();
        let token = sealwright_driver_pkcs11::open(&config, &Secrets::new(&config)).unwrap();
        let opened = Self { token, folder };
        let spec = KeySpec {
            uri: key(K),
            scheme: SCHEME,
            rsa_bits: 0,
        };
        within_30_s(|ctx| Task::Generate(spec).perform(&mut *opened.worker(), ctx)).unwrap();
        opened
    }

    fn worker(&self) -> Box<dyn KeyDriver> {
        self.token.open_worker().unwrap()
    }
}

fn sign(worker: &mut dyn KeyDriver) -> Result<Signature, DriverError> {
    let request = SignRequest {
        key: key(K),
        scheme: SCHEME,
        input: SignInput::of(SCHEME, &[b"m"]),
    };
    within_30_s(|ctx| worker.sign(&request, ctx))
}

fn within_30_s<T>(ask: impl FnOnce(&SignContext<'_>) -> T) -> T {
    let never = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_secs(30);
    ask(&SignContext::new(deadline, &never, &()))
}

#[test]
fn one_process_recovers_when_the_token_is_back() {
    const TEST: &str = "one_process_recovers_when_the_token_is_back";
    let Some(config) = other_process::part() else {
        let hsm = token();
        return other_process::run(TEST, Config::of(&hsm).write().to_str().unwrap(), &hsm);
    };
    let opened = InProcess::open(&config);
    let mut worker = opened.worker();
    sign(&mut *worker).unwrap();
    // SoftHSM notices one token's return by itself, but that of its whole store only after C_Finalize.
    let store = opened.folder.parent().unwrap();
    for folder in [&opened.folder, store, store] {
        unplug(folder);
        for _ in 0..2 {
            assert_eq!(sign(&mut *worker).unwrap_err().class, ErrorClass::Lost);
        }
        plug_in(folder);
        sign(&mut *worker).unwrap();
        worker.health().unwrap();
    }
}

#[test]
fn two_workers_recover_while_both_sign() {
    const TEST: &str = "two_workers_recover_while_both_sign";
    let Some(config) = other_process::part() else {
        let hsm = token();
        return other_process::run(TEST, Config::of(&hsm).write().to_str().unwrap(), &hsm);
    };
    let opened = InProcess::open(&config);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let outcomes: Vec<mpsc::Receiver<bool>> = (0..2)
            .map(|_| {
                let (sender, receiver) = mpsc::channel();
                let (opened, stop) = (&opened, &stop);
                scope.spawn(move || {
                    let mut worker = opened.worker();
                    while !stop.load(Ordering::Relaxed) {
                        let _ = sender.send(sign(&mut *worker).is_ok());
                    }
                });
                receiver
            })
            .collect();
        let both = |wanted: bool| {
            for receiver in &outcomes {
                while receiver.recv().unwrap() != wanted {}
            }
        };
        both(true);
        for _ in 0..3 {
            unplug(&opened.folder);
            both(false);
            plug_in(&opened.folder);
            both(true);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_request_that_nobody_waits_for_is_not_signed() {
    const TEST: &str = "a_request_that_nobody_waits_for_is_not_signed";
    let Some(config) = other_process::part() else {
        let hsm = token();
        return other_process::run(TEST, Config::of(&hsm).write().to_str().unwrap(), &hsm);
    };
    let opened = InProcess::open(&config);
    let request = SignRequest {
        key: key(K),
        scheme: SCHEME,
        input: SignInput::of(SCHEME, &[b"m"]),
    };
    let cancelled = AtomicBool::new(true);
    let deadline = Instant::now() + Duration::from_secs(30);
    let context = SignContext::new(deadline, &cancelled, &());
    let error = opened.worker().sign(&request, &context).unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled);
}

#[test]
fn a_token_can_be_opened_again_in_one_process_after_it_was_dropped() {
    const TEST: &str = "a_token_can_be_opened_again_in_one_process_after_it_was_dropped";
    let Some(config) = other_process::part() else {
        let hsm = token();
        return other_process::run(TEST, Config::of(&hsm).write().to_str().unwrap(), &hsm);
    };
    drop(InProcess::open(&config));
    let config = TokenConfig::read(Path::new(&config)).unwrap();
    let token = sealwright_driver_pkcs11::open(&config, &Secrets::new(&config)).unwrap();
    sign(&mut *token.open_worker().unwrap()).unwrap();
}
