//! A site with witnesses and a courier, and witnesses that misbehave.

use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sealwright_softhsm_tests::site::pki::{Authority, Leaf};
use sealwright_softhsm_tests::site::process::{Process, wait_for};
use sealwright_softhsm_tests::site::{DAEMON_UID, ORIGIN, SOON, Site, TokenSpec, statement};
use serde_json::Value;

use crate::support::log_key;

/// The courier's certificate.
pub const COURIER: &str = "spiffe://sealwright.test/courier";
/// The courier's user, in the socket's group.
const COURIER_UID: u32 = 64_011;
/// How long the courier waits for a witness here.
const TIMEOUT_MS: u32 = 1000;

/// A witness of our own.
pub struct Witness {
    pub key: String,
    folder: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

/// The site and its witnesses.
pub struct Setting {
    pub site: Site,
    pub witnesses: Vec<Witness>,
}

/// A report of `sealwright-courier --once --json`.
pub struct Round {
    pub code: i32,
    pub report: Value,
    pub log: String,
}

impl Setting {
    /// A running site whose log relies on `needed` of `count` witnesses, which know it and run.
    pub fn new(count: usize, needed: usize, log: &str) -> Self {
        let mut site = Site::builder()
            .token(TokenSpec::scripted("soft").key("release"))
            .config(&format!(
                "[[principal]]\nid = '{COURIER}'\nroles = ['courier']\n"
            ))
            .start();
        let witnesses: Vec<_> = (1..=count).map(|n| Witness::make(&site, n)).collect();
        let keys: Vec<_> = witnesses.iter().map(|w| format!("'{}'", w.key)).collect();
        let keys = keys.join(", ");
        let lines = format!("[log]\nwitnesses = [{keys}]\nquorum = {needed}\n{log}");
        site.stop_daemon();
        site.edit_config(|text| text.replace("[log]\n", &lines));
        site.start_daemon();
        let identity = site.authority().client(&Leaf::uri(COURIER));
        fs::write(site.path("etc/courier.pem"), identity.certificate_pem()).unwrap();
        let key = site.path("etc/courier.key");
        fs::write(&key, identity.key_pem()).unwrap();
        std::os::unix::fs::chown(&key, Some(COURIER_UID), None).unwrap();
        let mut setting = Self { site, witnesses };
        let log = log_key(&setting.site.client()).to_string();
        for witness in &mut setting.witnesses {
            witness.start(ORIGIN, &log);
        }
        setting
    }

    /// Signs, and waits until a checkpoint covers it; the record's index.
    pub fn sign(&self, name: &str) -> u64 {
        let answer = self
            .site
            .client()
            .sign("key=release", &statement(name))
            .ok();
        self.settled();
        answer.record().unwrap()
    }

    /// Waits until a checkpoint covers every record; its size.
    pub fn settled(&self) -> u64 {
        wait_for("a checkpoint over everything", SOON, || {
            let log = &self.site.status()["log"];
            (log["size"] == log["checkpoint_size"]).then(|| log["size"].as_u64().unwrap())
        })
    }

    /// One round of the courier to the setting's witnesses.
    pub fn round(&self) -> Round {
        let urls: Vec<_> = self.witnesses.iter().map(Witness::url).collect();
        self.round_to(&urls)
    }

    /// One round, with the witnesses' keys and other URLs.
    pub fn round_to(&self, urls: &[String]) -> Round {
        let output = self.courier(urls).arg("--once").output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        let report = serde_json::from_slice(&output.stdout);
        Round {
            code: output.status.code().unwrap(),
            report: report.unwrap_or_else(|e| panic!("{e}\n{log}")),
            log,
        }
    }

    /// The courier, configured and not started.
    pub fn courier(&self, urls: &[String]) -> Command {
        let mut text = "interval_s = 1\n[daemon]\nsocket = '../run/api.sock'\n\
             certificate = 'courier.pem'\nkey = 'courier.key'\nca = 'tls/ca.pem'\n"
            .to_owned();
        for (witness, url) in self.witnesses.iter().zip(urls) {
            let key = &witness.key;
            text +=
                &format!("[[witness]]\nkey = '{key}'\nurl = '{url}'\ntimeout_ms = {TIMEOUT_MS}\n");
            if url.starts_with("https:") {
                text += "ca = 'tls/ca.pem'\n";
            }
        }
        let path = self.site.path("etc/courier.toml");
        fs::write(&path, text).unwrap();
        let mut command = Command::new(self.site.program("sealwright-courier"));
        command.arg("--json").arg("--config").arg(path);
        command.uid(COURIER_UID).gid(DAEMON_UID);
        command
    }

    /// A C2SP policy with this log, its witnesses, and `needed` of them.
    pub fn policy(&self, needed: &str) -> String {
        let mut text = format!("log {}\n", log_key(&self.site.client()));
        let mut names = Vec::new();
        for (n, witness) in self.witnesses.iter().enumerate() {
            text += &format!("witness w{n} {}\n", witness.key);
            names.push(format!("w{n}"));
        }
        text + &format!("group g {needed} {}\nquorum g\n", names.join(" "))
    }

    pub fn log_status(&self) -> Value {
        self.site.status()["log"].clone()
    }
}

impl Round {
    /// The part of the witness with this number, from 0.
    pub fn of(&self, number: usize) -> &Value {
        &self.report["witnesses"][number]
    }

    /// Its outcome.
    pub fn outcome(&self, number: usize) -> &str {
        self.of(number)["outcome"].as_str().unwrap()
    }
}

impl Witness {
    fn make(site: &Site, number: usize) -> Self {
        let folder = site.path(&format!("witness-{number}"));
        fs::create_dir(&folder).unwrap();
        let (name, program) = (
            format!("w{number}.test"),
            site.program("sealwright-witness"),
        );
        let mut keygen = Command::new(&program);
        keygen.args(["keygen", "--name", &name, "--key"]);
        let made = keygen.arg(folder.join("key")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self {
            key: String::from_utf8(made.stdout).unwrap().trim().to_owned(),
            folder,
            program,
            process: None,
        }
    }

    /// Starts it for a log with this origin and key, with what it stored before.
    pub fn start(&mut self, origin: &str, log: &str) {
        self.stop();
        let config = self.folder.join("witness.toml");
        let text = format!(
            "listen = '127.0.0.1:0'\nkey_file = 'key'\nstate_dir = 'state'\n\
             [[log]]\norigin = '{origin}'\nkeys = ['{log}']\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(config);
        let log = self.folder.join("log");
        let _ = fs::remove_file(&log);
        let process = Process::start(command, None, &log).unwrap();
        wait_for("a witness to listen", SOON, || address(&process.log()));
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    pub fn url(&self) -> String {
        match &self.process {
            Some(process) => address(&process.log()).unwrap(),
            // The discard port of this host: nobody listens there.
            None => "http://127.0.0.1:9".to_owned(),
        }
    }
}

fn address(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    rest.split_once(['"', '\n']).map(|(url, _)| url.to_owned())
}

/// A server that reads one request per connection and does what it likes with it; its URL.
pub fn impostor(mut answer: impl FnMut(TcpStream, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let request = read_request(&mut stream);
            answer(stream, request);
        }
    });
    url
}

/// TLS in front of a witness, with a certificate of `authority` for `localhost`; its URL.
pub fn https(authority: &Authority, witness: &str) -> String {
    let identity = authority.server("localhost");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key());
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let witness = witness.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(tls, stream);
            let request = read_request(&mut stream);
            if request.is_empty() {
                continue;
            }
            let request = request.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
            let mut behind = TcpStream::connect(&witness).unwrap();
            behind.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            behind.read_to_end(&mut answer).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    url
}

/// A server that answers every request with these bytes.
pub fn answering(bytes: Vec<u8>) -> String {
    impostor(move |mut stream, _| {
        // The courier may have closed when it had read enough.
        let _ = stream.write_all(&bytes);
    })
}

/// An HTTP answer.
pub fn http(status: &str, media_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Head and body; the courier's heads name the body's length.
fn read_request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
