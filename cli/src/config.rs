//! The parts of `sealwright.toml` that commands on the daemon's host need; the daemon itself checks the rest.

use std::path::{Path, PathBuf};

use sealwright_core::identity::{Principal, Role};
use sealwright_core::name::Tenant;
use serde::Deserialize;

use crate::failure::Failure;
use crate::files::{self, FileError};

/// Where the configuration is if nothing else is said.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/sealwright/sealwright.toml";

/// `sealwright.toml`, with paths made absolute.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Site {
    pub(crate) api: Api,
    pub(crate) state: State,
    pub(crate) monitor: Option<Monitor>,
    #[serde(default)]
    pub(crate) policy: Policy,
    #[serde(default, rename = "domain")]
    pub(crate) domains: Vec<Domain>,
    #[serde(default, rename = "principal")]
    principals: Vec<PrincipalEntry>,
}

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Api {
    pub(crate) socket: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    #[serde(default = "deny_spki")]
    pub(crate) deny_spki: PathBuf,
}

fn deny_spki() -> PathBuf {
    "deny-spki".into()
}

/// `[monitor]`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Monitor {
    pub(crate) socket: PathBuf,
}

/// `[state]`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct State {
    pub(crate) dir: PathBuf,
}

/// `[policy]`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Policy {
    pub(crate) file: PathBuf,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            file: "policy.cedar".into(),
        }
    }
}

/// `[[domain]]`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) ca: PathBuf,
    #[serde(default)]
    pub(crate) tenant: Tenant,
}

/// `[[principal]]`
#[derive(Debug, Clone, Deserialize)]
struct PrincipalEntry {
    id: String,
    roles: Vec<Role>,
    domain: Option<String>,
    tenant: Option<Tenant>,
    uid: Option<u32>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path}: {reason}")]
    Invalid { path: PathBuf, reason: String },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::local(error)
    }
}

impl Site {
    /// Reads the file; relative paths in it count from its folder.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(path)?;
        let mut site: Self = toml::from_str(&text).map_err(|e| ConfigError::Invalid {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        let api = &mut site.api;
        let paths = [
            &mut api.socket,
            &mut api.certificate,
            &mut api.key,
            &mut api.deny_spki,
        ];
        let paths = paths
            .into_iter()
            .chain([&mut site.state.dir, &mut site.policy.file]);
        let paths = paths.chain(site.monitor.iter_mut().map(|monitor| &mut monitor.socket));
        for path in paths.chain(site.domains.iter_mut().map(|domain| &mut domain.ca)) {
            *path = base.join(&path);
        }
        Ok(site)
    }

    /// The user that a principal is bound to, if any.
    pub(crate) fn uid_of(&self, id: &str) -> Option<u32> {
        let entry = self.principals.iter().find(|entry| entry.id == id);
        entry.and_then(|entry| entry.uid)
    }

    /// The directory as the daemon builds it: an entry belongs to the domain it names, or to the first one,
    /// and is in that domain's tenant if it has none of its own.
    pub(crate) fn principals(&self) -> Vec<Principal> {
        let principal = |entry: &PrincipalEntry| {
            let domain = match &entry.domain {
                None => self.domains.first(),
                Some(name) => self.domains.iter().find(|domain| domain.name == *name),
            }?;
            Some(Principal {
                id: entry.id.clone(),
                tenant: entry
                    .tenant
                    .clone()
                    .unwrap_or_else(|| domain.tenant.clone()),
                roles: entry.roles.clone(),
            })
        };
        self.principals.iter().filter_map(principal).collect()
    }
}

/// The token files beside `config`, sorted.
pub(crate) fn token_files(config: &Path) -> Result<Vec<PathBuf>, FileError> {
    let folder = config.parent().unwrap_or(Path::new(".")).join("tokens");
    let failed = |source| FileError::Read {
        path: folder.clone(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
