//! What the process may touch once it runs vendor code: landlock, entered before the first thread.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};
use sealwright_driver_api::{DriverError, TokenConfig};

/// Paths a driver needs besides its configuration, credential and `state_dir`. Missing ones are passed over.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Files and folders to read: the vendor module, its configuration.
    pub read: Vec<PathBuf>,
    /// Files and folders to read and write: the token's own store, its device node.
    pub write: Vec<PathBuf>,
}

/// Libraries and system configuration that any vendor module may load or read.
const SYSTEM_READ: [&str; 6] = ["/usr", "/lib", "/lib64", "/etc", "/proc", "/sys"];
/// Devices that libraries open for reading and writing.
const SYSTEM_WRITE: [&str; 3] = ["/dev/null", "/dev/urandom", "/dev/random"];

/// Makes `state_dir` for this user alone where it does not exist: landlock rules need it to be there.
pub(crate) fn prepare_state_dir(config: &TokenConfig) -> Result<(), DriverError> {
    let path = &config.state_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            DriverError::config(format!(
                "state_dir {} cannot be used: {error}; create it for this driver's user alone",
                path.display()
            ))
        })
}

/// Whether landlock confines the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enforced {
    /// It does, to the named paths.
    Yes,
    /// It does, but everything is named: the administrator did not say what the vendor's module writes to.
    Everything,
    /// It does not.
    No,
}

/// Restricts this thread and every thread made later to the named paths.
///
/// Best effort by kernel: rights an older kernel does not know stay open, and without landlock nothing is
/// confined; the log says which. Rights are those of ABI 5 (device ioctls); the network is systemd's to forbid.
pub(crate) fn enter(
    config: &TokenConfig,
    file: &Path,
    driver: Sandbox,
) -> Result<Enforced, DriverError> {
    let mut read: Vec<PathBuf> = SYSTEM_READ.iter().map(PathBuf::from).collect();
    read.push(file.to_owned());
    read.extend(config.credential.clone());
    read.extend(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    read.extend(driver.read);
    let mut write: Vec<PathBuf> = SYSTEM_WRITE.iter().map(PathBuf::from).collect();
    write.push(config.state_dir.clone());
    write.extend(driver.write);
    let status = restrict(&read, &write)
        .map_err(|error| DriverError::config(format!("landlock refuses the sandbox: {error}")))?;
    match &status {
        RulesetStatus::FullyEnforced => tracing::debug!("landlock is fully enforced"),
        status => tracing::warn!("landlock is {status:?}: this kernel lacks part of it"),
    }
    Ok(match status {
        RulesetStatus::NotEnforced => Enforced::No,
        _ if write.iter().any(|path| path == Path::new("/")) => Enforced::Everything,
        _ => Enforced::Yes,
    })
}

fn restrict(read: &[PathBuf], write: &[PathBuf]) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V5;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(abi)))?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;

    #[test]
    fn what_is_not_named_can_be_neither_read_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["read", "write", "other"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), name).unwrap();
        }
        let (read, write, other) = (at("read"), at("write"), at("other"));
        // Only the thread that enters is confined, and it ends with the test.
        let confined = std::thread::spawn(move || {
            let missing = PathBuf::from("/no/such/module.so");
            let status = restrict(&[read.clone(), missing], std::slice::from_ref(&write)).unwrap();
            assert_ne!(
                status,
                RulesetStatus::NotEnforced,
                "this kernel has no landlock"
            );
            assert!(fs::read(read.join("file")).is_ok());
            assert_eq!(
                fs::write(read.join("new"), "").unwrap_err().kind(),
                PermissionDenied
            );
            assert!(fs::write(write.join("new"), "").is_ok());
            assert_eq!(
                fs::read(other.join("file")).unwrap_err().kind(),
                PermissionDenied
            );
        });
        confined.join().unwrap();
    }
}
