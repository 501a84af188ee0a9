//! Between a program and a virtual key: hands reports on, and does to those of the key what a test wants.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::io::Result;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, connect, listen, recv, send, socket_with,
};

use crate::fault::{Faults, readable};

/// A report, with its number in front where a program wrote it.
const REPORT: usize = 65;

/// Ends, and its socket with it, when dropped: the key is unplugged.
#[derive(Debug)]
pub struct Proxy {
    front: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Serves `front` with what is behind `back`.
    ///
    /// # Panics
    /// Where `front` cannot be bound.
    #[must_use]
    pub fn start(front: &Path, back: &Path, faults: &Faults) -> Self {
        let listener = seqpacket().expect("a socket");
        let address = SocketAddrUnix::new(front).expect("a short path");
        bind(&listener, &address).expect("the proxy's socket");
        // As a udev rule would: a driver is another user than the test.
        fs::set_permissions(front, fs::Permissions::from_mode(0o666)).expect("an open socket");
        listen(&listener, 16).expect("the proxy's socket");
        let ended = Arc::new(AtomicBool::new(false));
        let side = Side {
            back: back.to_owned(),
            faults: faults.clone(),
            ended: Arc::clone(&ended),
        };
        let thread = std::thread::spawn(move || side.accept(&listener));
        Self {
            front: front.to_owned(),
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.front);
        self.ended.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What each of the proxy's threads has.
#[derive(Clone)]
struct Side {
    back: PathBuf,
    faults: Faults,
    ended: Arc<AtomicBool>,
}

impl Side {
    fn accept(&self, listener: &OwnedFd) {
        let mut relays = Vec::new();
        while !self.ended.load(Ordering::Acquire) {
            if !matches!(readable([listener]), Ok([true])) {
                continue;
            }
            if let Ok(client) = accept_with(listener, SocketFlags::CLOEXEC) {
                let side = self.clone();
                relays.push(std::thread::spawn(move || side.relay(&client)));
            }
        }
        for relay in relays {
            let _ = relay.join();
        }
    }

    /// Until one of the two ends is gone.
    fn relay(&self, client: &OwnedFd) {
        let Ok(key) = self.connect() else { return };
        while !self.ended.load(Ordering::Acquire) {
            if self.turn(client, &key).is_err() {
                return;
            }
        }
    }

    fn connect(&self) -> Result<OwnedFd> {
        let key = seqpacket()?;
        connect(&key, &SocketAddrUnix::new(&self.back)?)?;
        Ok(key)
    }

    fn turn(&self, client: &OwnedFd, key: &OwnedFd) -> Result<()> {
        let [asked, answered] = readable([client, key])?;
        if asked {
            send(key, &receive(client)?, SendFlags::NOSIGNAL)?;
        }
        if answered {
            let report = receive(key)?;
            for report in self.faults.strike(&report, foreign) {
                send(client, &report, SendFlags::NOSIGNAL)?;
            }
        }
        Ok(())
    }
}

/// A report on another program's channel: the first four bytes name it.
fn foreign(report: &[u8]) -> Vec<u8> {
    let mut report = report.to_vec();
    report.iter_mut().take(4).for_each(|byte| *byte ^= 0x5a);
    report
}

fn seqpacket() -> Result<OwnedFd> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// One report; an error once the other end is gone.
fn receive(end: &OwnedFd) -> Result<Vec<u8>> {
    let mut packet = [0; REPORT];
    let (count, _) = recv(end, &mut packet[..], RecvFlags::empty())?;
    if count == 0 {
        return Err(rustix::io::Errno::PIPE);
    }
    Ok(packet[..count].to_vec())
}
