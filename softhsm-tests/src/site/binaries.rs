//! The workspace's own programs, where cargo built them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder with the programs.
#[derive(Debug, Clone)]
pub struct Binaries(Arc<PathBuf>);

impl Binaries {
    /// Finds the folder of the running test or program. Where other users cannot reach it, as under `/root`,
    /// the programs are linked (or copied) into `site` on their first use.
    #[must_use]
    pub fn find(site: &Path) -> Self {
        let own = std::env::current_exe().expect("the program's own path");
        // target/<profile>/deps/<test>, or target/<profile>/<program>.
        let built = own.parent().expect("a folder");
        let built = match built.file_name() {
            Some(name) if name == "deps" => built.parent().expect("target/<profile>"),
            _ => built,
        };
        let built = built.to_owned();
        if built.ancestors().all(is_open) {
            return Self(Arc::new(built));
        }
        let folder = site.join("bin");
        fs::create_dir(&folder).expect("a folder for programs");
        for entry in fs::read_dir(&built).expect("the target folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with("sealwright")
                && path.extension().is_none()
                && path.is_file()
            {
                let to = folder.join(name);
                fs::hard_link(&path, &to)
                    .or_else(|_| fs::copy(&path, &to).map(drop))
                    .expect("a copy");
            }
        }
        Self(Arc::new(folder))
    }

    /// The path of a program.
    ///
    /// # Panics
    /// Where it was not built.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        assert!(
            path.exists(),
            "{} is missing: run `scripts/build` first",
            path.display()
        );
        path
    }
}

fn is_open(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0)
}
