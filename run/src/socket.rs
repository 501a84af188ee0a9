//! The listening socket: bound with the right owner and bits from its first moment, removed at the end.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode};

use crate::{Args, RunError};

/// A bound socket. Its path is removed when this is dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    // Two activators that start together would each take the other's fresh socket for a stale one. The file
    // stays behind: removing it would let a third one lock a file that the second has open already.
    _lock: File,
}

impl Socket {
    /// Binds, taking the place of a socket that nobody listens on any more.
    pub(crate) fn bind(args: &Args) -> Result<Self, RunError> {
        let path = args.socket.clone();
        let failed = |source| RunError::Socket {
            path: path.clone(),
            source,
        };
        let lock = lock(&path)?;
        remove_stale(&path)?;
        // Nobody may connect between bind and chown.
        let before = rustix::process::umask(Mode::from_bits_truncate(0o777));
        let bound = UnixListener::bind(&path);
        rustix::process::umask(before);
        let socket = Self {
            listener: bound.map_err(failed)?,
            path: path.clone(),
            _lock: lock,
        };
        if let Some((uid, gid)) = args.owner {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(failed)?;
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(args.mode))
            .map_err(failed)?;
        Ok(socket)
    }

    /// The listening socket, to be handed to a program.
    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Fails only if somebody else removed it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Holds `PATH.lock` for the life of the process.
fn lock(path: &Path) -> Result<File, RunError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::create(&name).map_err(|source| RunError::Socket {
        path: name.clone(),
        source,
    })?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| RunError::InUse(path.to_owned()))?;
    Ok(file)
}

fn remove_stale(path: &Path) -> Result<(), RunError> {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !meta.file_type().is_socket() {
        return Err(RunError::NoSocket(path.to_owned()));
    }
    // A program of an activator that was killed may still listen.
    if UnixStream::connect(path).is_ok() {
        return Err(RunError::InUse(path.to_owned()));
    }
    std::fs::remove_file(path).map_err(|source| RunError::Socket {
        path: path.to_owned(),
        source,
    })
}
