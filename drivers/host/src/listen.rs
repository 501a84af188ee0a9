//! The socket the activator passes in, and who may connect to it.

use std::os::unix::net::{UnixListener, UnixStream};

use crate::HostError;

/// The activator's socket. One connection is served at a time; others wait in its backlog.
pub(crate) struct Listener {
    socket: UnixListener,
    peer_uid: u32,
}

impl Listener {
    /// Takes file descriptor 3 as `LISTEN_FDS` and `LISTEN_PID` say.
    pub(crate) fn from_environment(peer: &str) -> Result<Self, HostError> {
        let socket = listenfd::ListenFd::from_env()
            .take_unix_listener(0)
            .map_err(HostError::Listener)?
            .ok_or(HostError::NoListener)?;
        Ok(Self {
            socket,
            peer_uid: uid_of(peer)?,
        })
    }

    /// Waits for a connection of the daemon's user. Others are closed before a byte is exchanged.
    pub(crate) fn accept(&self) -> std::io::Result<UnixStream> {
        loop {
            let (stream, _) = self.socket.accept()?;
            let peer = rustix::net::sockopt::socket_peercred(&stream)?;
            if peer.uid.as_raw() == self.peer_uid {
                return Ok(stream);
            }
            tracing::warn!(
                uid = peer.uid.as_raw(),
                pid = peer.pid.as_raw_nonzero().get(),
                expected = self.peer_uid,
                "closed a connection of another user"
            );
        }
    }
}

/// A number, or a name from `/etc/passwd`: users of other name services have to be given as numbers.
fn uid_of(peer: &str) -> Result<u32, HostError> {
    if let Ok(uid) = peer.parse() {
        return Ok(uid);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    uid_in(&passwd, peer).ok_or_else(|| HostError::NoUser(peer.to_owned()))
}

fn uid_in(passwd: &str, name: &str) -> Option<u32> {
    let fields = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()? == name, fields.nth(1)?.parse().ok()?))
    };
    passwd
        .lines()
        .filter_map(fields)
        .find_map(|(matches, uid)| matches.then_some(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_a_name_of_etc_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nsealwright:x:987:986::/:/usr/sbin/nologin\n";
        assert_eq!(uid_in(passwd, "sealwright"), Some(987));
        assert_eq!(uid_in(passwd, "seal"), None);
        assert!(matches!(uid_of("64010"), Ok(64010)));
        assert!(matches!(uid_of("no such user"), Err(HostError::NoUser(_))));
    }
}
