//! One conversation with the security key: found by its serial number, ended when dropped.

use std::fs::OpenOptions;

use ctap_hid_fido2::{FidoKeyHid, FidoKeyHidFactory, HidParam, LibCfg};
use hidapi::{DeviceInfo, HidApi};
use sealwright_driver_api::{DriverError, ErrorClass};

/// The usage page of security keys (CTAP 2.1 section 11.2.8.1).
const FIDO: u16 = 0xf1d0;
/// The serial number in the configuration of a security key that reports none.
const NO_SERIAL: &str = "none";

/// The security key; no other handle to it is open in this process.
pub(crate) struct Device {
    pub(crate) key: FidoKeyHid,
    /// For messages.
    pub(crate) name: String,
    pub(crate) manufacturer: String,
    pub(crate) product: String,
}

impl Device {
    /// Looks through all that are plugged in for the one with this serial number.
    pub(crate) fn find(serial: &str) -> Result<Self, DriverError> {
        let name = format!("security key {serial}");
        let api = HidApi::new();
        let api = api.map_err(|e| DriverError::config(format!("{name}: no HID devices: {e}")))?;
        let fits = |device: &&DeviceInfo| {
            let own = device.serial_number().unwrap_or_default();
            let wanted = if serial == NO_SERIAL { "" } else { serial };
            device.usage_page() == FIDO && own == wanted
        };
        let mut found: Vec<&DeviceInfo> = api.device_list().filter(fits).collect();
        found.dedup_by_key(|device| device.path());
        match found[..] {
            [] => {
                let detail =
                    format!("{name} is not plugged in; `fido2-token -L` shows what is there");
                Err(DriverError::new(ErrorClass::Transient, "", detail))
            }
            [device] => Self::open(name, device),
            _ => Err(DriverError::config(format!(
                "several security keys have serial number {serial}: take out all but one"
            ))),
        }
    }

    fn open(name: String, device: &DeviceInfo) -> Result<Self, DriverError> {
        let path = device.path().to_string_lossy().into_owned();
        // It would print on stdout that the security key wants to be touched.
        let config = LibCfg {
            enable_keep_alive_msg: false,
            ..LibCfg::init()
        };
        let key = FidoKeyHidFactory::create_by_params(&[HidParam::Path(path.clone())], &config);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Self {
            key: key.map_err(|_| not_opened(&name, &path))?,
            manufacturer: text(device.manufacturer_string()),
            product: text(device.product_string()),
            name,
        })
    }
}

/// The library does not say why.
fn not_opened(name: &str, path: &str) -> DriverError {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    match opened.map_err(|e| e.kind()) {
        Err(std::io::ErrorKind::PermissionDenied) => DriverError::config(format!(
            "{name}: this user may not open {path}; a udev rule has to let it (docs/hardware.md)"
        )),
        _ => {
            let detail =
                format!("{name}: {path} cannot be opened; it may just have been taken out");
            DriverError::new(ErrorClass::Transient, "", detail)
        }
    }
}
