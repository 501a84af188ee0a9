//! The `[driver]` section of a TPM token's configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use tss_esapi::tcti_ldr::TctiNameConf;

/// `[driver]` in `tokens/<name>.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How the TPM is reached.
    #[serde(deserialize_with = "tcti_from_text")]
    pub(crate) tcti: Tcti,
    /// How commands are authorised.
    #[serde(default)]
    pub(crate) session: SessionKind,
}

/// How commands are authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionKind {
    /// A salted HMAC session with parameter encryption (AES-128-CFB): no secret crosses the bus in clear.
    #[default]
    Hmac,
    /// The key's auth value in clear in each command. For benchmarks and development only: whoever listens on
    /// the bus can use the key afterwards.
    Password,
}

/// How the TPM is reached.
///
/// Checked here and not by tss-esapi, which reads `swtpm:path=…` as "localhost, port 2321" and `device` as
/// `/dev/tpm0`, where no resource manager shares the TPM's few slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tcti {
    /// `device:/dev/tpmrm0`.
    Device(PathBuf),
    /// `swtpm:host=127.0.0.1,port=2321`; the control port is the next one.
    Swtpm {
        /// Where swtpm listens.
        host: IpAddr,
        /// Its command port.
        port: u16,
    },
}

impl Tcti {
    /// Whether somebody else keeps processes apart on this TPM. Without it we own every slot.
    pub(crate) fn has_resource_manager(&self) -> bool {
        matches!(self, Self::Device(_))
    }

    /// For tss-esapi.
    pub(crate) fn name_conf(&self) -> tss_esapi::Result<TctiNameConf> {
        TctiNameConf::from_str(&self.to_string())
    }
}

impl std::fmt::Display for Tcti {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
        }
    }
}

const TCTI_FORMS: &str =
    "write \"device:/dev/tpmrm0\" or \"swtpm:host=127.0.0.1,port=N\" with an IP address";

impl FromStr for Tcti {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("tcti = {text:?}: {TCTI_FORMS}");
        match text.split_once(':') {
            Some(("device", path)) => device(path).ok_or_else(bad),
            Some(("swtpm", options)) => swtpm(options).ok_or_else(bad),
            _ => Err(bad()),
        }
    }
}

fn device(path: &str) -> Option<Tcti> {
    path.starts_with('/').then(|| Tcti::Device(path.into()))
}

fn swtpm(options: &str) -> Option<Tcti> {
    let (host, port) = options.split_once(',')?;
    let host = host.strip_prefix("host=")?.parse().ok()?;
    let port = port.strip_prefix("port=")?.parse().ok()?;
    (1..u16::MAX)
        .contains(&port)
        .then_some(Tcti::Swtpm { host, port })
}

fn tcti_from_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Tcti, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str) -> Result<Settings, String> {
        toml::from_str(section).map_err(|e| e.to_string())
    }

    #[test]
    fn a_section_with_a_tcti_alone_means_an_encrypted_session() {
        let settings = read("tcti = 'device:/dev/tpmrm0'").unwrap();
        assert_eq!(settings.session, SessionKind::Hmac);
        assert_eq!(settings.tcti, Tcti::Device("/dev/tpmrm0".into()));
    }

    #[test]
    fn a_tcti_is_written_as_it_was_read_and_means_the_same_to_tss() {
        for text in ["device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2329"] {
            let tcti: Tcti = text.parse().unwrap();
            assert_eq!(tcti.to_string(), text);
            assert!(tcti.name_conf().is_ok());
        }
    }

    #[test]
    fn a_tcti_that_tss_would_read_as_a_default_is_refused() {
        for text in [
            "device",
            "device:",
            "device:tpmrm0",
            "swtpm",
            "swtpm:",
            "swtpm:path=/run/swtpm.sock",
            "swtpm:port=2321",
            "swtpm:host=127.0.0.1",
            "swtpm:host=127.0.0.1,port=0",
            "swtpm:host=127.0.0.1,port=65535",
            "swtpm:host=127.0.0.1,port=2321,path=/x",
            "tabrmd:bus_type=session",
            "mssim:host=127.0.0.1,port=2321",
        ] {
            assert!(
                text.parse::<Tcti>()
                    .unwrap_err()
                    .contains("device:/dev/tpmrm0"),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_keys_and_sessions_are_refused() {
        let tcti = "tcti = 'device:/dev/tpmrm0'\n";
        assert!(
            read(&format!("{tcti}pin = '1'"))
                .unwrap_err()
                .contains("pin")
        );
        assert!(
            read(&format!("{tcti}session = 'none'"))
                .unwrap_err()
                .contains("hmac")
        );
        assert!(read("session = 'hmac'").unwrap_err().contains("tcti"));
    }
}
