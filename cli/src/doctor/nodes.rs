//! Security keys: whether their device nodes may be used, and who else uses them.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, holders};

/// A report descriptor begins with usage page F1D0 (CTAP 2.1 section 11.2.8.1).
const FIDO: [u8; 3] = [0x06, 0xd0, 0xf1];

/// Where the kernel shows devices.
pub(super) struct Devices {
    dev: PathBuf,
    class: PathBuf,
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            dev: "/dev".into(),
            class: "/sys/class/hidraw".into(),
        }
    }
}

/// Looks at every security key.
pub(super) fn examine(devices: &Devices) -> Vec<Finding> {
    devices
        .keys()
        .iter()
        .flat_map(|node| [rule(node), rival(node)])
        .flatten()
        .collect()
}

impl Devices {
    fn keys(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.class).into_iter().flatten();
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let is_key = |name: &std::ffi::OsString| {
            let mut begin = [0; FIDO.len()];
            let descriptor = self.class.join(name).join("device/report_descriptor");
            let read = File::open(descriptor).and_then(|mut file| file.read_exact(&mut begin));
            read.is_ok() && begin == FIDO
        };
        let mut nodes: Vec<_> = names
            .filter(is_key)
            .map(|name| self.dev.join(name))
            .collect();
        nodes.sort();
        nodes
    }
}

/// Without a rule for it a node is root's alone.
fn rule(node: &Path) -> Option<Finding> {
    let opened = File::options().read(true).write(true).open(node);
    let is_roots = match (&opened, fs::metadata(node)) {
        (Err(error), _) => error.kind() == ErrorKind::PermissionDenied,
        // Root may open it anyway.
        (Ok(_), Ok(metadata)) => is_roots_alone(&metadata),
        (Ok(_), Err(_)) => false,
    };
    let next = "install the package libfido2-udev (fido2-tools brings it), or a rule of your own, see docs/hardware.md";
    let problem = "this security key may not be used: no udev rule opens its node";
    is_roots.then(|| Finding::about_path("device.no-udev-rule", node, problem, next))
}

/// An access list shows in the group's bits.
fn is_roots_alone(metadata: &Metadata) -> bool {
    metadata.uid() == 0 && metadata.mode() & 0o066 == 0
}

/// All of a key's answers go to everybody who has its node open.
fn rival(node: &Path) -> Option<Finding> {
    let who = holders::names(&holders::of_file(|file| file == node))?;
    let problem =
        format!("another program uses this security key and gets our answers, too: {who}");
    Some(Finding::about_path(
        "device.rival",
        node,
        problem,
        "end it, or close what it does",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn with_key(descriptor: &[u8], mode: u32) -> (tempfile::TempDir, Devices) {
        let root = tempfile::tempdir().unwrap();
        let devices = Devices {
            dev: root.path().join("dev"),
            class: root.path().join("class"),
        };
        fs::create_dir_all(devices.class.join("hidraw3/device")).unwrap();
        fs::write(
            devices.class.join("hidraw3/device/report_descriptor"),
            descriptor,
        )
        .unwrap();
        fs::create_dir(&devices.dev).unwrap();
        let node = devices.dev.join("hidraw3");
        fs::write(&node, "").unwrap();
        fs::set_permissions(&node, fs::Permissions::from_mode(mode)).unwrap();
        (root, devices)
    }

    fn ids(devices: &Devices) -> Vec<&'static str> {
        examine(devices).iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_node_that_is_roots_alone_lacks_a_rule() {
        if !rustix::process::getuid().is_root() {
            println!("not run: only root's own file can be root's alone");
            return;
        }
        let descriptor = [&FIDO[..], &[9, 1]].concat();
        assert_eq!(
            ids(&with_key(&descriptor, 0o600).1),
            ["device.no-udev-rule"]
        );
        assert!(ids(&with_key(&descriptor, 0o660).1).is_empty());
        // A keyboard is nobody's business.
        assert!(ids(&with_key(&[5, 1, 9, 6], 0o600).1).is_empty());
    }

    #[test]
    fn whoever_has_a_node_open_is_named_with_the_process() {
        let (_root, devices) = with_key(&FIDO, 0o660);
        let _open = File::open(devices.dev.join("hidraw3")).unwrap();
        let findings = examine(&devices);
        let [rival] = &findings[..] else {
            panic!("{findings:?}");
        };
        assert_eq!(rival.id, "device.rival");
        let process = format!("(process {})", std::process::id());
        assert!(rival.problem.contains(&process), "{rival:?}");
    }
}
