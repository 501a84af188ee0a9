//! Who else uses a device: processes by the files they have open and the libraries they have loaded. Of other users'
//! processes only root learns that.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Names begin like this, as far as the kernel keeps them.
const OUR_DRIVERS: &str = "sealwright-driv";

/// A process that is none of our drivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pid: u32,
    name: String,
}

impl Holder {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Those that have such a file open.
pub(super) fn of_file(is_it: impl Fn(&Path) -> bool) -> Vec<Holder> {
    holders(|process| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut files = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        files.any(|file| is_it(&file))
    })
}

/// Those that have a library of this name loaded.
pub(super) fn of_library(name: &str) -> Vec<Holder> {
    holders(|process| {
        let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
        maps.lines().any(|line| line.contains(name))
    })
}

/// `None` where nobody is seen.
pub(super) fn names(holders: &[Holder]) -> Option<String> {
    let names: Vec<String> = holders.iter().map(Holder::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn holders(holds: impl Fn(&PathBuf) -> bool) -> Vec<Holder> {
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let paths = processes.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<Holder> = paths
        .filter_map(|process| {
            let pid = process.file_name()?.to_str()?.parse().ok()?;
            if !holds(&process) {
                return None;
            }
            // One that has ended meanwhile holds nothing.
            let name = fs::read_to_string(process.join("comm")).ok()?;
            let name = name.trim_end().to_owned();
            Some(Holder { pid, name })
        })
        .filter(|holder| !holder.name.starts_with(OUR_DRIVERS))
        .collect();
    found.sort_by_key(|holder| holder.pid);
    found
}
