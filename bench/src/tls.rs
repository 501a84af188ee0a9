//! A cheap caller: request bytes made beforehand, no look at an answer but for its status and length.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sealwright_softhsm_tests::site::http::SERVER_NAME;
use sealwright_softhsm_tests::site::pki::Leaf;
use sealwright_softhsm_tests::site::{CI, Site};

/// Where to connect, and with which certificate.
#[derive(Debug, Clone)]
pub struct Endpoint {
    socket: PathBuf,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// The site's daemon, or whoever else has its certificate and listens at `socket`.
    pub fn of(site: &Site, socket: &Path) -> io::Result<Self> {
        let authority = site.authority();
        let identity = authority.client(&Leaf::uri(CI));
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).map_err(io::Error::other)?;
        let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain(), identity.key())
            .map_err(io::Error::other)?;
        tls.resumption = Resumption::disabled();
        Ok(Self {
            socket: socket.to_owned(),
            tls: Arc::new(tls),
        })
    }

    /// Connects and shakes hands.
    pub fn connect(&self) -> io::Result<Caller> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let stream = StreamOwned::new(tls, UnixStream::connect(&self.socket)?);
        Ok(Caller {
            stream,
            answer: Vec::with_capacity(4096),
        })
    }
}

/// A connection that is kept alive.
pub struct Caller {
    stream: StreamOwned<ClientConnection, UnixStream>,
    answer: Vec<u8>,
}

/// An answer; its body lies in the caller's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Whether the status is 200.
    pub ok: bool,
    /// The body.
    pub body: &'a [u8],
}

impl Caller {
    /// Sends `request` and reads its answer.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request)?;
        self.answer.clear();
        let head = loop {
            self.read_some()?;
            if let Some(head) = head_of(&self.answer)? {
                break head;
            }
        };
        while self.answer.len() < head.len + head.body {
            self.read_some()?;
        }
        Ok(Answer {
            ok: head.ok,
            body: self.answer.get(head.len..).unwrap_or_default(),
        })
    }

    fn read_some(&mut self) -> io::Result<()> {
        let old = self.answer.len();
        self.answer.resize(old + 4096, 0);
        let read = self.stream.read(&mut self.answer[old..]);
        self.answer.truncate(old + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    len: usize,
    ok: bool,
    body: usize,
}

/// The head of an answer, if it is complete.
fn head_of(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let length = text.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    Ok(Some(Head {
        len: end + 4,
        ok: text.starts_with("HTTP/1.1 200 "),
        body: length.ok_or_else(|| io::Error::other(format!("no length in {text:?}")))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\nabc";
        let head = head_of(answer).unwrap().unwrap();
        assert_eq!(
            (head.ok, head.body, &answer[head.len..]),
            (true, 3, &b"abc"[..])
        );
        assert_eq!(head_of(&answer[..20]).unwrap(), None);
        assert!(
            !head_of(b"HTTP/1.1 503 -\r\ncontent-length: 0\r\n\r\n")
                .unwrap()
                .unwrap()
                .ok
        );
        assert!(head_of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
