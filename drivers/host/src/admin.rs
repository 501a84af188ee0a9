//! Commands for people: the same driver, asked once, answering JSON on stdout.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sealwright_core::spki::Spki;
use sealwright_driver_api::wire::Answer;
use sealwright_driver_api::{
    DriverError, ErrorClass, EvidenceGrade, KeyDescription, KeySpec, KeyUri, Progress,
    ProgressSink, Scheme, SignContext, Task, Token, TokenConfig,
};
use serde::Serialize;

use crate::approve;
use crate::args::{Args, Command};
use crate::{Driver, HostError, Secrets, certificates};

/// For tasks whose time a person decides about.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Runs a command other than `serve`.
pub(crate) fn run(
    driver: Driver,
    args: &Args,
    config: &TokenConfig,
    secrets: &Secrets,
) -> Result<ExitCode, HostError> {
    if let Command::Check = args.command() {
        return check(driver, config, secrets);
    }
    let token = (driver.open)(config, secrets)?;
    let task = match args.command() {
        Command::Certificate { uri } => return certificates::show(&*token, &uri),
        Command::InstallCertificate { uri } => return certificates::install(&*token, &uri),
        Command::Describe { uri } => Task::Describe(uri),
        Command::Generate {
            scheme,
            rsa_bits,
            uri,
        } => {
            tracing::info!(%scheme, %uri, "making a key; some devices take minutes");
            Task::Generate(KeySpec {
                uri,
                scheme,
                rsa_bits,
            })
        }
        Command::Approve { uri } => {
            print(&approve::run(&*token, uri)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Serve | Command::Check | Command::Manual(_) => Task::Health,
    };
    if let Answer::Key(key) = ask(&*token, &task)? {
        print(&KeyJson::from(key))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who sits at the terminal.
struct Person;

impl ProgressSink for Person {
    fn progress(&self, progress: Progress) {
        match progress {
            Progress::Touch => tracing::info!("touch the device now"),
            Progress::Pin => tracing::info!("enter the PIN at the device now"),
            Progress::Busy => tracing::info!("the device works on something else"),
        }
    }
}

/// Has one task done with a session of its own, with as much time as it takes.
pub(crate) fn ask(token: &dyn Token, task: &Task) -> Result<Answer, DriverError> {
    let cancelled = AtomicBool::new(false);
    let ctx = SignContext::new(Instant::now() + PATIENCE, &cancelled, &Person);
    task.perform(token.open_worker()?.as_mut(), &ctx)
}

/// A key as people and scripts read it.
#[derive(Serialize)]
struct KeyJson {
    uri: KeyUri,
    /// Base64.
    spki_der: Spki,
    spki_sha256: String,
    keyid: String,
    public_key_pem: String,
    schemes: Vec<Scheme>,
    evidence: EvidenceGrade,
    claims: Vec<(String, String)>,
}

impl From<KeyDescription> for KeyJson {
    fn from(key: KeyDescription) -> Self {
        let spki = Spki::from_der(key.spki_der);
        Self {
            uri: key.uri,
            spki_sha256: spki.sha256().to_string(),
            keyid: spki.keyid(),
            public_key_pem: spki.to_pem(),
            spki_der: spki,
            schemes: key.schemes,
            evidence: key.evidence,
            claims: key.claims,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<ErrorClass>,
    /// The device's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    code: String,
    detail: String,
}

impl Finding {
    fn of(check: &'static str, result: &Result<String, DriverError>) -> Self {
        match result {
            Ok(detail) => Self {
                check,
                ok: true,
                class: None,
                code: String::new(),
                detail: detail.clone(),
            },
            Err(e) => Self {
                check,
                ok: false,
                class: Some(e.class),
                code: e.code.clone(),
                detail: e.to_string(),
            },
        }
    }
}

/// Prints `{"token": …, "findings": […]}`; exit code 1 if one of them is not ok.
fn check(driver: Driver, config: &TokenConfig, secrets: &Secrets) -> Result<ExitCode, HostError> {
    #[derive(Serialize)]
    struct Report<'a> {
        token: &'a str,
        findings: Vec<Finding>,
    }
    let mut findings = Vec::new();
    // In this order, and not past the first failure: what follows would only repeat it, or spend a PIN try.
    let mut look = |check, result: Result<String, DriverError>| {
        findings.push(Finding::of(check, &result));
        result.is_ok()
    };
    if look("credential", secrets.check().map(str::to_owned)) {
        match (driver.open)(config, secrets) {
            Err(error) => {
                look("token", Err(error));
            }
            Ok(token) => {
                look("token", token_matches(&*token, config));
                if look("session", session(&*token)) {
                    look("pin", pin(&*token));
                }
            }
        }
    }
    let ok = findings.iter().all(|finding| finding.ok);
    print(&Report {
        token: &config.name,
        findings,
    })?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn token_matches(token: &dyn Token, config: &TokenConfig) -> Result<String, DriverError> {
    let found = token.descriptor();
    if (&found.label, &found.serial) != (&config.label, &config.serial) {
        return Err(DriverError::config(format!(
            "the token is label {:?}, serial {:?}; the configuration says {:?}, {:?}",
            found.label, found.serial, config.label, config.serial
        )));
    }
    Ok(format!(
        "{} {}, serial {}",
        found.manufacturer, found.model, found.serial
    ))
}

fn session(token: &dyn Token) -> Result<String, DriverError> {
    token.open_worker()?.health()?;
    Ok("opens and answers".into())
}

/// Whether a PIN would be taken; shows none.
fn pin(token: &dyn Token) -> Result<String, DriverError> {
    token.open_worker()?.may_show_pin()?;
    Ok("would be taken, or is not counted".into())
}

fn print(answer: &impl Serialize) -> Result<(), HostError> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, answer).map_err(|e| HostError::Print(e.into()))?;
    writeln!(out).map_err(HostError::Print)
}
