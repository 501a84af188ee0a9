//! The token's credential: read when it is needed, wiped after, never printed.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use sealwright_driver_api::{DriverError, ErrorClass, TokenConfig};
use zeroize::Zeroizing;

use crate::login_mark::LoginMark;

/// Longest credential in bytes.
pub const CREDENTIAL_MAX: usize = 4096;

/// A PIN or an auth value. Wiped when dropped; its `Debug` shows nothing.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes, without the line end of a file written by an editor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, for interfaces that take a PIN as UTF-8.
    pub fn as_str(&self) -> Result<&str, DriverError> {
        std::str::from_utf8(&self.0)
            .map_err(|_| DriverError::config("the credential is not UTF-8 text"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where the token's credential is, and whether it may be tried. Cheap to clone; a token keeps one for later logins.
#[derive(Debug, Clone)]
pub struct Secrets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    mark: LoginMark,
    // Held across a login on purpose: the mark speaks of one attempt, and two at once could spend two tries.
    one_login: Mutex<()>,
}

#[derive(Debug)]
enum Source {
    /// systemd made it, readable for this unit alone; its permission bits may show an ACL's mask.
    Systemd(PathBuf),
    /// A developer's file, whose bits have to be right.
    File(PathBuf),
    Nowhere,
}

impl Secrets {
    /// The credential of a configuration: its `credential` file, or systemd's credential `pin`.
    pub fn new(config: &TokenConfig) -> Self {
        let systemd =
            std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join("pin"));
        let source = match (&config.credential, systemd) {
            (Some(file), _) => Source::File(file.clone()),
            (None, Some(path)) => Source::Systemd(path),
            (None, None) => Source::Nowhere,
        };
        let mark = LoginMark::new(config);
        Self(Arc::new(Inner {
            source,
            mark,
            one_login: Mutex::new(()),
        }))
    }

    /// Reads the credential afresh. For values the device does not count wrong tries of; a PIN goes through
    /// [`Secrets::login`].
    pub fn read(&self) -> Result<Secret, DriverError> {
        match &self.0.source {
            Source::Systemd(path) => read_file(path, false),
            Source::File(path) => read_file(path, true),
            Source::Nowhere => Err(DriverError::config(
                "no credential: set `credential` to a file of mode 0600, or LoadCredential=pin:… in the unit",
            )),
        }
    }

    /// Lets `attempt` try the credential at the device, once.
    ///
    /// A mark is on disk while it runs. It stays if the device refuses the credential (class `Auth` or
    /// `LockedOut`) or the process dies, and while it stays the same credential is not tried again.
    pub fn login<T>(
        &self,
        attempt: impl FnOnce(&Secret) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let _one = self
            .0
            .one_login
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let secret = self.read()?;
        self.0.mark.set(&secret)?;
        let result = attempt(&secret);
        match &result {
            Err(error) if matches!(error.class, ErrorClass::Auth | ErrorClass::LockedOut) => {}
            _ => self.0.mark.clear(),
        }
        result
    }

    /// Whether the credential can be read, and no mark of an earlier process forbids [`Secrets::login`].
    pub(crate) fn check(&self) -> Result<&'static str, DriverError> {
        if matches!(self.0.source, Source::Nowhere) {
            return Ok("none is configured");
        }
        self.0.mark.check(&self.read()?)?;
        Ok("can be read, and no failed login with it is pending")
    }
}

fn read_file(path: &Path, bits_matter: bool) -> Result<Secret, DriverError> {
    let refuse = |why: String| DriverError::config(format!("credential {}: {why}", path.display()));
    // NONBLOCK: opening a pipe would wait for a writer; NOFOLLOW: a link's target has another owner's bits.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|e| refuse(open_error(&e)))?;
    let meta = file.metadata().map_err(|e| refuse(e.to_string()))?;
    if !meta.is_file() {
        return Err(refuse("not a regular file".into()));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777;
    if bits_matter && mode & 0o077 != 0 {
        return Err(refuse(format!(
            "mode {mode:04o} lets others read it; chmod 0600"
        )));
    }
    // Full size from the start: growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(CREDENTIAL_MAX + 1));
    file.take(CREDENTIAL_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| refuse(e.to_string()))?;
    if bytes.len() > CREDENTIAL_MAX {
        return Err(refuse(format!("longer than {CREDENTIAL_MAX} bytes")));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(refuse("empty".into()));
    }
    Ok(Secret(bytes))
}

fn open_error(error: &std::io::Error) -> String {
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return "a symbolic link; name the file itself".into();
    }
    error.to_string()
}
