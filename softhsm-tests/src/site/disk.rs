//! A small file system for the state folder, so that a test can fill it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(super) fn mount(path: &Path, mib: u32) -> Self {
        let options = format!("size={mib}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "sealwright-test"])
            .arg(path)
            .status()
            .expect("mount runs");
        assert!(
            mounted.success(),
            "tests of a full disk mount a tmpfs, as root"
        );
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is on its way out may still hold a file.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
