//! The `[driver]` section of a PKCS#11 token's configuration.

use std::path::PathBuf;

use serde::Deserialize;

use sealwright_driver_api::{DriverError, TokenConfig};
use sealwright_driver_host::Sandbox;

/// What only this driver knows of a token.
///
/// The module's own configuration (`SOFTHSM2_CONF` and its like) comes from the process environment, which
/// the unit sets: a path to it here would be one more name for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path of the vendor's shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// Files and folders the module reads beside `/usr` and `/etc`.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// Files and folders the module writes, such as SoftHSM's token folder; `[]` for none. If it is given,
    /// landlock keeps the process out of everything else; only the administrator knows where a vendor's
    /// module writes, so without it there is no landlock and the unit's own protection has to do.
    pub write: Option<Vec<PathBuf>>,
}

impl Settings {
    /// Reads the section, and refuses unknown keys and a relative module path.
    pub fn of(config: &TokenConfig) -> Result<Self, DriverError> {
        let invalid = |reason: String| {
            DriverError::config(format!("token {}: [driver] {reason}", config.name))
        };
        let settings: Self = config
            .driver
            .clone()
            .try_into()
            .map_err(|e| invalid(e.to_string()))?;
        // A bare name would be looked up along the loader's search path, which others can influence.
        if !settings.module.is_absolute() {
            return Err(invalid(format!(
                "module = {:?} is not an absolute path",
                settings.module.display().to_string()
            )));
        }
        Ok(settings)
    }

    /// What the process may touch beside what every driver may.
    pub fn sandbox(config: &TokenConfig) -> Result<Sandbox, DriverError> {
        let settings = Self::of(config)?;
        let Some(write) = settings.write else {
            tracing::warn!("[driver] has no `write`: landlock does not confine this process");
            return Ok(Sandbox {
                read: Vec::new(),
                write: vec!["/".into()],
            });
        };
        let mut read = settings.read;
        read.push(settings.module);
        // Vendors name their configuration file in the environment, and the unit sets that.
        read.extend(
            std::env::vars_os()
                .map(|(_, value)| value.into())
                .filter(|path: &PathBuf| path.is_absolute() && path.is_file()),
        );
        Ok(Sandbox { read, write })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(section: &str) -> Result<Settings, String> {
        let text = format!(
            "kind = 'pkcs11'\nsocket = '/run/t.sock'\nlabel = 'a'\nserial = 'b'\nstate_dir = '/s'\n[driver]\n{section}"
        );
        let config: TokenConfig = toml::from_str(&text).unwrap();
        Settings::of(&config).map_err(|e| e.to_string())
    }

    #[test]
    fn the_module_is_an_absolute_path() {
        assert_eq!(
            settings("module = '/lib/m.so'").unwrap().module,
            PathBuf::from("/lib/m.so")
        );
        assert!(
            settings("module = 'm.so'")
                .unwrap_err()
                .contains("not an absolute path")
        );
    }

    #[test]
    fn landlock_confines_only_where_the_written_paths_are_known() {
        assert_eq!(settings("module = '/lib/m.so'").unwrap().write, None);
        let confined = settings("module = '/lib/m.so'\nwrite = []").unwrap();
        assert_eq!(confined.write, Some(Vec::new()));
    }

    #[test]
    fn a_missing_module_and_an_unknown_key_are_named() {
        assert!(settings("").unwrap_err().contains("module"));
        assert!(
            settings("module = '/lib/m.so'\nslot = 0")
                .unwrap_err()
                .contains("slot")
        );
    }
}
