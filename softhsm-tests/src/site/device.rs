//! The device behind a driver: made, described to the driver, and made to misbehave.

use std::fs;
use std::path::{Path, PathBuf};

use super::spec::{Kind, TokenSpec};
use super::token::own;
use super::write;
use crate::fido::{VirtualKey, VirtualKeys};
use crate::piv::{self, VirtualPiv, VirtualReader};
use crate::softhsm::{self, SoftHsm};
use crate::swtpm::Swtpm;

/// What the virtual security key's USB descriptor says.
const FIDO2_SERIAL: &str = "V1";

/// The number printed on the virtual YubiKey.
const PIV_SERIAL: &str = "12345678";

/// PIN or auth value of every token here but PIV cards, which come with one; a TPM wants a long one.
pub const PIN: &str = "00112233445566778899aabbccddeeff";

/// A device.
#[derive(Debug)]
pub enum Device {
    /// SoftHSM.
    SoftHsm(SoftHsm),
    /// A software TPM, and the serial its driver found.
    Swtpm(Swtpm, String),
    /// A reader with a card in it.
    Piv(Box<VirtualReader>, VirtualPiv),
    /// A security key and its PIN, among those its driver sees.
    Fido2(Box<VirtualKeys>, VirtualKey),
    /// The scripted driver needs none.
    Scripted,
}

impl Device {
    pub(super) fn make(spec: &TokenSpec, uid: u32) -> Self {
        match spec.kind {
            Kind::SoftHsm => {
                let softhsm = SoftHsm::new(&spec.name, PIN);
                own(softhsm.dir(), uid);
                Self::SoftHsm(softhsm)
            }
            Kind::Swtpm => {
                let tpm = spec
                    .maker
                    .as_ref()
                    .map_or_else(Swtpm::start, Swtpm::made_by);
                Self::Swtpm(tpm, "unknown".to_owned())
            }
            Kind::Piv => {
                let reader = VirtualReader::start();
                let card = reader.insert(PIV_SERIAL.parse().expect("a number"));
                Self::Piv(Box::new(reader), card)
            }
            Kind::Fido2 => {
                let keys = VirtualKeys::new();
                let key = keys.plug_in(0, FIDO2_SERIAL);
                keys.set_pin(&key, PIN);
                own(keys.folder(), uid);
                Self::Fido2(Box::new(keys), key)
            }
            Kind::Scripted => Self::Scripted,
        }
    }

    /// Where its driver keeps its files: with virtual HID devices, the one folder that its sandbox lets it see them in.
    pub(super) fn state_dir(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Fido2(keys, _) => keys.folder().to_owned(),
            _ => dir.join("state"),
        }
    }

    pub(super) fn pin(&self) -> &'static str {
        match self {
            Self::Piv(..) => piv::PIN,
            _ => PIN,
        }
    }

    pub(super) fn serial(&self) -> &str {
        match self {
            Self::SoftHsm(softhsm) => &softhsm.serial,
            Self::Swtpm(_, serial) => serial,
            Self::Piv(..) => PIV_SERIAL,
            Self::Fido2(..) => FIDO2_SERIAL,
            Self::Scripted => "0001",
        }
    }

    /// The `[driver]` section.
    pub(super) fn section(&self, spec: &TokenSpec, dir: &Path) -> String {
        match self {
            Self::SoftHsm(softhsm) => {
                let (module, tokens) = (softhsm::MODULE, softhsm.tokens());
                format!("module = {module:?}\nwrite = [{tokens:?}]\n")
            }
            Self::Piv(..) | Self::Fido2(..) => String::new(),
            Self::Swtpm(tpm, _) => format!("tcti = {:?}\n", tpm.tcti()),
            Self::Scripted => {
                let delay = spec.delay_ms;
                format!(
                    "keys = []\ndelay_ms = {delay}\nfault_file = {:?}\n",
                    fault_file(dir)
                )
            }
        }
    }

    /// What its library wants in the environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        match self {
            Self::SoftHsm(softhsm) => vec![(softhsm::CONF_VARIABLE, softhsm.conf())],
            Self::Swtpm(..) => vec![("TSS2_LOG", "all+NONE".into())],
            Self::Piv(reader, _) => vec![reader.environment()[0].clone()],
            Self::Fido2(keys, _) => keys.environment().into(),
            Self::Scripted => Vec::new(),
        }
    }
}

fn fault_file(dir: &Path) -> PathBuf {
    dir.join("fault")
}

/// Switches a scripted driver's fault; `none` ends it. It is read anew for each request.
pub(super) fn set_fault(dir: &Path, fault: &str) {
    // In one step: half a name would be another fault.
    let new = dir.join("fault.new");
    write(&new, fault);
    fs::rename(new, fault_file(dir)).expect("the fault file");
}
