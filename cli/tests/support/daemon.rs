//! A daemon that answers from a list, over real mutual TLS, and remembers what it was asked.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::{Folder, Run, run};

/// Method, path, and everything else of a request as text.
pub(crate) type Request = (String, String);

/// What to answer a request with: status and body; `None` breaks the connection.
pub(crate) type Answer = fn(&str, usize) -> Option<(u16, String)>;

pub(crate) struct Daemon {
    folder: Folder,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Daemon {
    /// Answers `METHOD PATH` number n with `answer(METHOD PATH, n)`.
    pub(crate) fn start(answer: Answer) -> Self {
        let folder = Folder::new();
        for (tls, trusted) in [("tls", true), ("other", false)] {
            let tls = folder.join(tls);
            run(["pki", "init", "--out", &tls]).expect(0);
            run([
                "pki",
                "client",
                "--ca-dir",
                &tls,
                "--id",
                "spiffe://site/ci",
            ])
            .expect(0);
            if trusted {
                run(["pki", "server", "--ca-dir", &tls]).expect(0);
            }
        }
        let config = Arc::new(config(&folder));
        let listener = UnixListener::bind(folder.join("api.sock")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that does not get through the handshake is part of some tests.
                let _ = serve(stream.unwrap(), &config, &sink, answer);
            }
        });
        Self { folder, seen }
    }

    pub(crate) fn join(&self, name: &str) -> String {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        self.folder.write(name, bytes)
    }

    /// Flags for a connection with the certificate of one CA and trust in another.
    pub(crate) fn flags(&self, identity: &str, trust: &str) -> Vec<String> {
        let path = |name: String| self.folder.join(&name);
        let words = [
            ("--socket", path("api.sock".to_owned())),
            ("--cert", path(format!("{identity}/client.pem"))),
            ("--client-key", path(format!("{identity}/client.key"))),
            ("--ca", path(format!("{trust}/ca.pem"))),
        ];
        words
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// Runs a command as a client that both sides agree on.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let args = args.iter().map(|arg| (*arg).to_owned());
        run(args.chain(self.flags("tls", "tls")))
    }

    /// `METHOD PATH` of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|(head, _)| head.clone())
            .collect()
    }

    /// Headers and body of every request so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|(_, rest)| rest.clone())
            .collect()
    }
}

fn config(folder: &Folder) -> ServerConfig {
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("tls/ca.pem")).unwrap();
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_file(folder.join("tls/server.key")).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate("tls/server.pem")], key)
        .unwrap()
}

fn serve(
    stream: UnixStream,
    config: &Arc<ServerConfig>,
    seen: &Mutex<Vec<Request>>,
    answer: Answer,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    loop {
        let (head, rest) = request(&mut stream)?;
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push((head.clone(), rest));
            seen.len()
        };
        let Some((status, body)) = answer(&head, number) else {
            return Ok(());
        };
        let kind = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
             sealwright-record: 7\r\nsealwright-request-id: r\r\n\r\n{body}"
        )?;
        stream.flush()?;
    }
}

fn request(stream: &mut StreamOwned<ServerConnection, UnixStream>) -> std::io::Result<Request> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let all = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = all.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                let first = head.lines().next().unwrap_or_default();
                return Ok((first.trim_end_matches(" HTTP/1.1").to_owned(), all.clone()));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A refusal as the daemon writes it.
pub(crate) fn problem(status: u16, code: &str) -> Option<(u16, String)> {
    let body = format!(
        "{{\"type\":\"/errors#{code}\",\"title\":\"Title of {code}\",\"status\":{status},\"code\":\"{code}\",\"request_id\":\"r\"}}"
    );
    Some((status, body))
}
