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
            // A unit may have other credentials, or none of them was found.
            Source::Systemd(path) if !path.exists() => Err(nowhere()),
            Source::Systemd(path) => read_file(path, false),
            Source::File(path) => read_file(path, true),
            Source::Nowhere => Err(nowhere()),
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
        self.login_marked(None, attempt)
    }

    /// Like [`Secrets::login`], for a device that says how many tries it has left. A login that was cut off forbids
    /// nothing where the device has as many as before it: it did not refuse.
    pub fn login_with_tries<T>(
        &self,
        tries: u8,
        attempt: impl FnOnce(&Secret) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        self.login_marked(Some(tries), attempt)
    }

    fn login_marked<T>(
        &self,
        tries: Option<u8>,
        attempt: impl FnOnce(&Secret) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let _one = self
            .0
            .one_login
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let secret = self.read()?;
        self.0.mark.set(&secret, tries)?;
        let result = attempt(&secret);
        match &result {
            Err(error) if matches!(error.class, ErrorClass::Auth | ErrorClass::LockedOut) => {
                self.0.mark.refused(&secret);
            }
            // Nobody knows what the device made of it; its tries tell the next login.
            Err(_) if tries.is_some() => {}
            _ => self.0.mark.clear(),
        }
        result
    }

    /// Whether a credential is configured; not whether it can be read.
    pub fn is_configured(&self) -> bool {
        !matches!(self.0.source, Source::Nowhere)
    }

    /// Whether the credential can be read, and no mark of an earlier process forbids [`Secrets::login`].
    pub(crate) fn check(&self) -> Result<&'static str, DriverError> {
        if !self.is_configured() {
            return Ok("none is configured");
        }
        // How many tries a device has left is not asked here, so the benefit of the doubt is given.
        self.0.mark.check(&self.read()?, Some(u8::MAX))?;
        Ok("can be read, and no failed login with it is pending")
    }
}

fn nowhere() -> DriverError {
    DriverError::config(
        "no credential: give it with `sealwright token set-pin`, or in development set `credential` to a file of mode 0600",
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LOGIN_MARK;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Token {
        dir: tempfile::TempDir,
        config: TokenConfig,
    }

    impl Token {
        fn with_pin(pin: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let text = format!(
                "kind = 'k'\nsocket = 's'\nlabel = 'l'\nserial = '1'\nstate_dir = {0:?}\ncredential = {1:?}\n",
                dir.path(),
                dir.path().join("pin")
            );
            std::fs::write(dir.path().join("t.toml"), text).unwrap();
            let config = TokenConfig::read(&dir.path().join("t.toml")).unwrap();
            let token = Self { dir, config };
            token.pin(pin, 0o600);
            token
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn pin(&self, pin: &str, mode: u32) {
            std::fs::write(self.path("pin"), pin).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(self.path("pin"), mode).unwrap();
        }

        /// What a process that starts now knows.
        fn secrets(&self) -> Secrets {
            Secrets::new(&self.config)
        }

        fn refusal(&self) -> String {
            self.secrets().read().unwrap_err().detail
        }
    }

    fn fail(class: ErrorClass) -> impl FnOnce(&Secret) -> Result<(), DriverError> {
        move |_| Err(DriverError::new(class, "CKR", "no"))
    }

    #[test]
    fn a_credential_loses_one_line_end_and_never_shows_in_debug() {
        let token = Token::with_pin("12 34\n");
        let secret = token.secrets().read().unwrap();
        assert_eq!(secret.as_str().unwrap(), "12 34");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        token.pin("\n\n", 0o600);
        assert_eq!(token.secrets().read().unwrap().as_bytes(), b"\n");
    }

    #[test]
    fn each_bad_credential_file_has_its_own_error() {
        let token = Token::with_pin("1234");
        token.pin("1234", 0o640);
        assert!(token.refusal().contains("chmod 0600"));
        token.pin("", 0o600);
        assert!(token.refusal().contains("empty"));
        token.pin(&"x".repeat(CREDENTIAL_MAX), 0o600);
        assert!(token.secrets().read().is_ok());
        token.pin(&"x".repeat(CREDENTIAL_MAX + 1), 0o600);
        assert!(token.refusal().contains("4096 bytes"));
        std::fs::rename(token.path("pin"), token.path("real")).unwrap();
        assert!(token.refusal().contains("No such file"));
        symlink(token.path("real"), token.path("pin")).unwrap();
        assert!(token.refusal().contains("symbolic link"));
        std::fs::remove_file(token.path("pin")).unwrap();
        std::fs::create_dir(token.path("pin")).unwrap();
        assert!(token.refusal().contains("not a regular file"));
    }

    #[test]
    fn the_mark_is_on_disk_during_a_login_and_gone_after_a_good_one() {
        let token = Token::with_pin("1234");
        let marked = token
            .secrets()
            .login(|_| Ok(token.path(LOGIN_MARK).exists()));
        assert!(marked.unwrap());
        assert!(!token.path(LOGIN_MARK).exists());
    }

    #[test]
    fn a_refused_credential_is_not_tried_again_by_any_process_until_it_changes() {
        for class in [ErrorClass::Auth, ErrorClass::LockedOut] {
            let token = Token::with_pin("1234");
            let secrets = token.secrets();
            assert_eq!(secrets.login(fail(class)).unwrap_err().code, "CKR");
            for next in [secrets, token.secrets()] {
                let error = next.login::<()>(|_| panic!("tried again")).unwrap_err();
                assert_eq!(error.class, ErrorClass::Auth);
                assert!(error.detail.contains(LOGIN_MARK), "{error}");
            }
            token.pin("5678", 0o600);
            assert!(token.secrets().login(|_| Ok(())).is_ok());
        }
    }

    #[test]
    fn a_process_that_dies_during_a_login_leaves_the_mark() {
        let token = Token::with_pin("1234");
        let secrets = token.secrets();
        let died = std::thread::spawn(move || secrets.login::<()>(|_| panic!("dies"))).join();
        assert!(died.is_err());
        assert!(
            token
                .secrets()
                .login::<()>(|_| panic!("tried again"))
                .is_err()
        );
        std::fs::remove_file(token.path(LOGIN_MARK)).unwrap();
        assert!(token.secrets().login(|_| Ok(())).is_ok());
    }

    #[test]
    fn a_login_that_was_cut_off_forbids_nothing_where_no_try_is_missing() {
        let token = Token::with_pin("1234");
        let cut_off = |tries| {
            let secrets = token.secrets();
            let login = move || secrets.login_with_tries::<()>(tries, |_| panic!("dies"));
            assert!(std::thread::spawn(login).join().is_err());
        };
        let again = |tries| token.secrets().login_with_tries(tries, |_| Ok(())).is_ok();
        cut_off(3);
        assert!(!again(2), "it was refused");
        assert!(token.secrets().login(|_| Ok(())).is_err(), "nobody counts");
        assert!(again(3));
        let secrets = token.secrets();
        assert!(
            secrets
                .login_with_tries(3, fail(ErrorClass::Transient))
                .is_err()
        );
        assert!(!again(2), "the answer to a refusal was lost");
        assert!(again(3));
        cut_off(2);
        // It was right, which gives all tries back.
        assert!(again(3));
    }

    #[test]
    fn a_refused_credential_is_not_tried_again_though_somebody_gave_the_try_back() {
        let token = Token::with_pin("1234");
        let refused = token.secrets().login_with_tries(3, fail(ErrorClass::Auth));
        assert!(refused.is_err());
        let again = token
            .secrets()
            .login_with_tries::<()>(3, |_| panic!("tried again"));
        assert!(again.is_err());
        token.pin("5678", 0o600);
        assert!(token.secrets().login_with_tries(3, |_| Ok(())).is_ok());
    }

    #[test]
    fn a_device_that_is_gone_before_it_saw_the_credential_leaves_no_mark() {
        let token = Token::with_pin("1234");
        assert!(token.secrets().login(fail(ErrorClass::Lost)).is_err());
        assert!(token.secrets().login(|_| Ok(())).is_ok());
    }

    #[test]
    fn a_mark_that_is_cut_off_or_unreadable_forbids_the_login() {
        let token = Token::with_pin("1234");
        for mark in [&b""[..], b"v1", b"\xff\n"] {
            std::fs::write(token.path(LOGIN_MARK), mark).unwrap();
            assert!(
                token.secrets().login::<()>(|_| panic!("tried")).is_err(),
                "{mark:?}"
            );
        }
    }

    #[test]
    fn the_mark_says_what_it_is_and_holds_one_byte_about_the_credential() {
        let token = Token::with_pin("1234");
        assert!(token.secrets().login(fail(ErrorClass::Auth)).is_err());
        let mark = std::fs::read_to_string(token.path(LOGIN_MARK)).unwrap();
        let (first, rest) = mark.split_once('\n').unwrap();
        assert_eq!(first.len(), "v1 00".len());
        assert!(rest.starts_with("Written before a login"));
    }
}
