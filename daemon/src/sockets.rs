//! The sockets that are served: systemd's where it passed some, else our own.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::UnixListener;

use crate::config::Config;
use crate::run::RunError;

/// What systemd's units call the sockets (`FileDescriptorName=`). Two socket units come in no order that holds, so the
/// names count; an activator that gives none passes the API's first.
const NAMES: [&str; 2] = ["api", "monitor"];

/// The sockets that are served.
pub(crate) struct Listeners {
    pub(crate) api: UnixListener,
    pub(crate) monitor: Option<UnixListener>,
    pub(crate) bound: Bound,
}

/// The socket files that are ours to remove.
#[derive(Default)]
pub(crate) struct Bound(Vec<PathBuf>);

impl Bound {
    /// At the end. systemd's sockets stay: it listens on.
    pub(crate) fn remove(&self) {
        self.0.iter().for_each(|path| remove(path));
    }
}

impl Listeners {
    /// Takes or binds them.
    pub(crate) fn open(config: &Config) -> Result<Self, RunError> {
        let places = places(&std::env::var("LISTEN_FDNAMES").unwrap_or_default());
        let mut passed = ListenFd::from_env();
        let mut bound = Bound::default();
        let mut take = |place: Option<usize>, path: &Path| -> Result<UnixListener, RunError> {
            let from_systemd = place.map(|index| passed.take_unix_listener(index));
            let listener = match from_systemd.transpose() {
                Ok(listener) => listener
                    .flatten()
                    .map_or_else(|| bind(path, &mut bound), adopt),
                Err(source) => Err(source),
            };
            listener.map_err(|source| RunError::Io {
                path: path.to_owned(),
                source,
            })
        };
        let api = take(places[0], &config.api.socket)?;
        let monitor = config.monitor.as_ref();
        let monitor = monitor.map(|monitor| take(places[1], &monitor.socket));
        Ok(Self {
            api,
            monitor: monitor.transpose()?,
            bound,
        })
    }
}

/// Where among the passed descriptors each of [`NAMES`] is.
fn places(names: &str) -> [Option<usize>; 2] {
    let passed: Vec<&str> = names.split(':').collect();
    if !NAMES.iter().any(|name| passed.contains(name)) {
        return [Some(0), Some(1)];
    }
    NAMES.map(|name| passed.iter().position(|passed| *passed == name))
}

fn adopt(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Binds a socket that its group may use. A socket on which nobody listens was left behind by a daemon that is gone: its
/// place is taken. Anything else is somebody's.
fn bind(path: &Path, bound: &mut Bound) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::other("is no socket: move it away"));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            let text = "another program listens there: stop it, or set another socket path";
            return Err(io::Error::other(text));
        }
        _ => remove(path),
    }
    let listener = UnixListener::bind(path)?;
    bound.0.push(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

fn remove(path: &Path) {
    // A file that is not there is as good as removed.
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_sockets_are_told_apart_by_name_and_else_by_order() {
        assert_eq!(places("monitor:api"), [Some(1), Some(0)]);
        assert_eq!(places("api"), [Some(0), None]);
        assert_eq!(places("unknown:unknown"), [Some(0), Some(1)]);
        assert_eq!(places(""), [Some(0), Some(1)]);
    }
}
