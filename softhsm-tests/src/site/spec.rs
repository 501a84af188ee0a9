//! What a token of a site shall be.

use crate::swtpm::TpmMaker;

/// Where a PIV card's keys lie, in the order in which they were asked for.
pub(super) const SLOTS: [&str; 4] = ["9c", "9a", "9d", "82"];

/// A key that is made on a token.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Its label on the token, and its name with the daemon.
    pub label: String,
    /// `ecdsa-p256-sha256`, …
    pub scheme: String,
}

/// A token to be.
#[derive(Debug, Clone)]
pub struct TokenSpec {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) keys: Vec<KeySpec>,
    pub(super) sessions: u16,
    pub(super) delay_ms: u32,
    pub(super) maker: Option<TpmMaker>,
}

/// What is behind a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A real SoftHSM token.
    SoftHsm,
    /// A software TPM.
    Swtpm,
    /// A virtual YubiKey's PIV side.
    Piv,
    /// A virtual security key.
    Fido2,
    /// Software keys with faults on demand.
    Scripted,
}

impl Kind {
    /// The driver's name, and the scheme of its URIs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SoftHsm => "pkcs11",
            Self::Swtpm => "tpm2",
            Self::Piv => "piv",
            Self::Fido2 => "fido2",
            Self::Scripted => "scripted",
        }
    }
}

impl TokenSpec {
    /// A token without keys and with two sessions.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            keys: Vec::new(),
            sessions: 2,
            delay_ms: 0,
            maker: None,
        }
    }

    /// A SoftHSM token.
    #[must_use]
    pub fn softhsm(name: &str) -> Self {
        Self::new(name, Kind::SoftHsm)
    }

    /// A software TPM.
    #[must_use]
    pub fn swtpm(name: &str) -> Self {
        Self::new(name, Kind::Swtpm)
    }

    /// A software TPM with a certificate of its maker's.
    #[must_use]
    pub fn swtpm_by(name: &str, maker: &TpmMaker) -> Self {
        Self {
            maker: Some(maker.clone()),
            ..Self::swtpm(name)
        }
    }

    /// A virtual YubiKey; it holds four keys at most.
    #[must_use]
    pub fn piv(name: &str) -> Self {
        Self::new(name, Kind::Piv)
    }

    /// A virtual security key; its keys are of `webauthn-` schemes.
    #[must_use]
    pub fn fido2(name: &str) -> Self {
        Self::new(name, Kind::Fido2)
    }

    /// A scripted token.
    #[must_use]
    pub fn scripted(name: &str) -> Self {
        Self::new(name, Kind::Scripted)
    }

    /// With a P-256 key.
    #[must_use]
    pub fn key(self, label: &str) -> Self {
        self.key_of(label, "ecdsa-p256-sha256")
    }

    /// With a key of another scheme.
    #[must_use]
    pub fn key_of(mut self, label: &str, scheme: &str) -> Self {
        self.keys.push(KeySpec {
            label: label.to_owned(),
            scheme: scheme.to_owned(),
        });
        self
    }

    /// With so many sessions.
    #[must_use]
    pub fn sessions(mut self, sessions: u16) -> Self {
        self.sessions = sessions;
        self
    }

    /// With a device that takes so long for a signature. Scripted tokens only.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u32) -> Self {
        self.delay_ms = delay_ms;
        self
    }
}
