//! A client that can also misbehave: HTTP/1.1 byte by byte over TLS over a Unix socket, blocking.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Gid, Uid};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::answers::Answers;
pub use super::message::{Request, Response, read_response};
use super::pki::{Authority, Identity};

/// The name in the daemon's certificate.
pub const SERVER_NAME: &str = "sealwright.localhost";
/// How long a test waits for bytes before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A caller: a certificate, and the user it runs as.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    tls: Arc<ClientConfig>,
    answers: Arc<Answers>,
    uid: u32,
    gid: u32,
}

impl Client {
    /// A caller with `identity`, or without a certificate.
    #[must_use]
    pub fn new(
        socket: &Path,
        server_ca: &Authority,
        identity: Option<&Identity>,
        uid: u32,
        gid: u32,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(server_ca.der()).expect("the CA's certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let tls = match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.key())
                .expect("a certificate with its key"),
            None => builder.with_no_client_auth(),
        };
        Self {
            socket: socket.to_owned(),
            tls: Arc::new(tls),
            answers: Arc::default(),
            uid,
            gid,
        }
    }

    /// The same, sharing what is known of the API description.
    #[must_use]
    pub(super) fn checked_by(mut self, answers: &Arc<Answers>) -> Self {
        self.answers = Arc::clone(answers);
        self
    }

    /// The same certificate in the hands of another user.
    #[must_use]
    pub fn as_user(&self, uid: u32) -> Self {
        Self {
            uid,
            ..self.clone()
        }
    }

    /// Opens the socket without a word of TLS.
    pub fn open(&self) -> io::Result<UnixStream> {
        let (socket, uid, gid) = (self.socket.clone(), self.uid, self.gid);
        let stream = connect_as(&socket, uid, gid)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Connects and shakes hands. With TLS 1.3 a refused certificate may only show at the first read.
    pub fn try_connect(&self) -> io::Result<Connection> {
        let mut stream = self.open()?;
        let name = ServerName::try_from(SERVER_NAME).expect("a server name");
        let mut tls =
            ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Connection {
            stream: StreamOwned::new(tls, stream),
            answers: Arc::clone(&self.answers),
        })
    }

    /// Connects.
    #[must_use]
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("the daemon takes the connection")
    }

    /// One request on a connection of its own.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        self.connect().send(request).expect("the daemon answers")
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::new("GET", target))
    }

    /// `POST` of JSON.
    #[must_use]
    pub fn post(&self, target: &str, body: &Value) -> Response {
        let body = serde_json::to_vec(body).expect("JSON");
        self.send(
            &Request::new("POST", target)
                .header("Content-Type", "application/json")
                .body(body),
        )
    }

    /// `POST /v1/sign` of a statement, with `query` behind the `?`.
    #[must_use]
    pub fn sign(&self, query: &str, payload: &[u8]) -> Response {
        self.send(&Request::sign(query, payload))
    }
}

/// Connects in a thread whose effective user is another one: the kernel reports that user to the peer, and
/// the socket's permission bits are checked against it.
pub fn connect_as(socket: &Path, uid: u32, gid: u32) -> io::Result<UnixStream> {
    let connect = || {
        rustix::thread::set_thread_groups(&[])?;
        let (gid, uid) = (Gid::from_raw(gid), Uid::from_raw(uid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        UnixStream::connect(socket)
    };
    std::thread::scope(|scope| scope.spawn(connect).join()).expect("the connecting thread")
}

/// An open connection; takes any number of requests.
#[derive(Debug)]
pub struct Connection {
    stream: StreamOwned<ClientConnection, UnixStream>,
    answers: Arc<Answers>,
}

impl Connection {
    /// Sends a request and reads its answer, also one that comes before the whole request was taken.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        let written = self.write(&request.bytes());
        let answer = self.read();
        match (written, answer) {
            (Err(error), Err(_)) => Err(error),
            (_, answer) => answer.inspect(|answer| self.answers.check(request, answer)),
        }
    }

    /// Sends any bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads one answer.
    pub fn read(&mut self) -> io::Result<Response> {
        read_response(&mut Incoming(&mut self.stream))
    }

    /// Waits until the daemon closes.
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A missing close_notify is a close as well.
        match Incoming(&mut self.stream).read_to_end(&mut rest) {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                panic!("the connection is still open after {PATIENCE:?}")
            }
            _ => rest,
        }
    }
}

/// Reads what came, even where nothing can be sent any more.
struct Incoming<'a>(&'a mut StreamOwned<ClientConnection, UnixStream>);

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let StreamOwned { conn, sock } = &mut *self.0;
        loop {
            match conn.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    conn.read_tls(sock)?;
                    conn.process_new_packets().map_err(io::Error::other)?;
                }
                read => return read,
            }
        }
    }
}
