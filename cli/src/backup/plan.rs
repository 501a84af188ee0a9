//! Which files are copied, from where to where, in which order.

use std::fs;
use std::path::{Path, PathBuf};

use sealwright_driver_api::TokenConfig;

use super::LeftOut;
use crate::config::{Site, token_files};
use crate::failure::Failure;

/// Deepest folder that is looked into: configurations and evidence lie flatter.
const DEPTH_MAX: usize = 8;

/// One file to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) from: PathBuf,
    /// Inside the backup.
    pub(super) to: PathBuf,
    /// The daemon removes such files: one that has gone is left out.
    pub(super) may_go: bool,
}

/// What a host consists of.
#[derive(Debug)]
pub(super) struct Plan {
    config: PathBuf,
    state: PathBuf,
    tokens: Vec<TokenConfig>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Plan {
    pub(super) fn of(config: &Path) -> Result<Self, Failure> {
        let site = Site::read(config)?;
        let files = token_files(config).map_err(Failure::local)?;
        let tokens = files.iter().map(|file| TokenConfig::read(file));
        let tokens: Vec<_> = tokens.collect::<Result<_, _>>().map_err(Failure::local)?;
        let folder = config.parent().unwrap_or(Path::new("."));
        let mut left_out = vec![LeftOut {
            path: site.api.key,
            why: "the daemon's private key".to_owned(),
        }];
        left_out.extend(tokens.iter().flat_map(secrets));
        Ok(Self {
            config: folder.to_owned(),
            state: site.state.dir,
            tokens,
            left_out,
        })
    }

    /// The folder that is backed up and would hold `to`.
    pub(super) fn folder_around(&self, to: &Path) -> Option<&Path> {
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
        let tokens = self.tokens.iter().map(|token| token.state_dir.as_path());
        let mut folders = [self.config.as_path(), self.state.as_path()]
            .into_iter()
            .chain(tokens);
        folders.find(|folder| {
            let folder = fs::canonicalize(folder);
            folder.is_ok_and(|folder| parent.starts_with(folder))
        })
    }

    /// Every file, in the order in which they are to be copied.
    pub(super) fn files(&self) -> Result<Vec<Source>, Failure> {
        let mut all = Vec::new();
        let checkpoints = self.state.join("checkpoints");
        self.folder(&checkpoints, Path::new("state/checkpoints"), 1, &mut all)?;
        // The newest first: of those that nobody saw, the daemon keeps only a few.
        all.reverse();
        all.iter_mut().for_each(|source| source.may_go = true);
        for part in ["policies", "evidence", "receipts"] {
            let to = Path::new("state").join(part);
            self.folder(&self.state.join(part), &to, DEPTH_MAX, &mut all)?;
        }
        let genesis = self.state.join("genesis.json");
        if genesis.exists() {
            all.push(source(genesis, "state/genesis.json".into()));
        }
        all.extend(journal(&self.state.join("journal"))?);
        self.folder(&self.config, Path::new("config"), DEPTH_MAX, &mut all)?;
        for token in &self.tokens {
            let to = Path::new("tokens").join(&token.name);
            self.folder(&token.state_dir, &to, DEPTH_MAX, &mut all)?;
        }
        Ok(all)
    }

    /// Regular files only; what has no folder has no files.
    fn folder(
        &self,
        from: &Path,
        to: &Path,
        depth: usize,
        all: &mut Vec<Source>,
    ) -> Result<(), Failure> {
        for path in entries(from)? {
            let Some(name) = path.file_name() else {
                continue;
            };
            // On its way to its real name.
            if path.extension().is_some_and(|extension| extension == "new") {
                continue;
            }
            let kind = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                kind => kind.map_err(|e| unreadable(&path, &e))?,
            };
            if kind.is_dir() && depth > 0 {
                self.folder(&path, &to.join(name), depth - 1, all)?;
            } else if kind.is_file() && !self.leaves_out(&path) {
                all.push(source(path.clone(), to.join(name)));
            }
        }
        Ok(())
    }

    /// Under whichever name. What is left out is resolved each time: it may come into being, or move, meanwhile.
    fn leaves_out(&self, path: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let own = real(path);
        let is_it = |left: &Path| left == path || own.is_some() && real(left) == own;
        self.left_out.iter().any(|left| is_it(&left.path))
    }
}

fn source(from: PathBuf, to: PathBuf) -> Source {
    Source {
        from,
        to,
        may_go: false,
    }
}

/// The PIN, the mark of a login under way, and every path in the driver's own section: it may be a secret.
fn secrets(token: &TokenConfig) -> Vec<LeftOut> {
    let left_out = |path: PathBuf, why: &str| LeftOut {
        path,
        why: format!("token {}: {why}", token.name),
    };
    let mut all = vec![left_out(
        token.state_dir.join("login-pending"),
        "of a login under way",
    )];
    let credential = token.credential.clone();
    all.extend(credential.map(|path| left_out(path, "the credential")));
    let texts = token.driver.values().filter_map(|value| value.as_str());
    let paths = texts.map(|text| token.state_dir.join(text));
    let files = paths.filter(|path| path.is_file() && path.starts_with(&token.state_dir));
    all.extend(files.map(|path| left_out(path, "named in its [driver] section")));
    all
}

/// The segments that are there now, the oldest first, each with its stub where its bodies are archived. The newest one
/// is written to meanwhile, and those that come after it are for the next backup.
fn journal(folder: &Path) -> Result<Vec<Source>, Failure> {
    let is_segment = |path: &Path| {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let extension = path.extension().and_then(|extension| extension.to_str());
        stem.is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit()))
            && matches!(extension, Some("swj" | "archived"))
    };
    let mut paths = entries(folder)?;
    paths.retain(|path| is_segment(path));
    paths.sort();
    let to = Path::new("state/journal");
    let sources = paths.into_iter().filter_map(|path| {
        let to = to.join(path.file_name()?);
        Some(source(path, to))
    });
    Ok(sources.collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|e| unreadable(folder, &e))?,
    };
    let paths = read.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths
        .collect::<Result<_, _>>()
        .map_err(|e| unreadable(folder, &e))?;
    paths.sort();
    Ok(paths)
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "; run it as root",
        std::io::ErrorKind::NotFound => "; it went away meanwhile: run it again",
        _ => "",
    };
    Failure::local(format!("cannot read {}: {error}{hint}", path.display()))
}
