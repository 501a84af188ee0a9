//! A maker of software TPMs: `swtpm_setup` with a certificate authority of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

/// Puts endorsement keys and their certificates into TPMs. Clones are the same maker.
///
/// # Panics
/// Every method panics where swtpm's tools do not do what they should: a test without its TPM must fail.
#[derive(Debug, Clone)]
pub struct TpmMaker(Arc<TempDir>);

impl Default for TpmMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl TpmMaker {
    /// A maker that nobody has heard of. Its authority comes into being with its first TPM.
    #[must_use]
    pub fn new() -> Self {
        let maker = Self(Arc::new(
            tempfile::tempdir().expect("a folder for the maker"),
        ));
        let dir = maker.path("ca");
        fs::create_dir(&dir).expect("a folder for its authority");
        let ca = |name: &str| dir.join(name).display().to_string();
        let options = maker.path("options");
        fs::write(&options, "").expect("its options");
        let text = format!(
            "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
            dir.display(),
            ca("signkey.pem"),
            ca("issuercert.pem"),
            ca("certserial"),
        );
        fs::write(maker.path("ca.conf"), text).expect("its authority's configuration");
        let text = format!(
            "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {}\n\
             create_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
            maker.path("ca.conf").display(),
            options.display(),
        );
        fs::write(maker.path("setup.conf"), text).expect("its configuration");
        maker
    }

    /// The certificate by which its TPMs are known, PEM; there once it has made one.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        self.path("ca/issuercert.pem")
    }

    /// Makes a TPM: state that swtpm starts with.
    pub(super) fn manufacture(&self, state: &Path) {
        let made = Command::new("swtpm_setup")
            .args(["--tpm2", "--create-ek-cert", "--pcr-banks", "sha256"])
            .arg("--tpmstate")
            .arg(state)
            .arg("--config")
            .arg(self.path("setup.conf"))
            .output()
            .unwrap_or_else(|e| panic!("cannot run swtpm_setup, install swtpm-tools: {e}"));
        assert!(made.status.success(), "{made:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
