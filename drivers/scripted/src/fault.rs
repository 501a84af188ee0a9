//! How the driver misbehaves, and when.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, de};

use crate::settings::Settings;

macro_rules! faults {
    ($($(#[$doc:meta])+ $fault:ident = $name:literal,)+) => {
        /// A way to misbehave. Each strikes signing, unless it says otherwise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault { $($(#[$doc])+ $fault,)+ }

        impl Fault {
            /// Every fault, `none` first.
            pub const ALL: &[Self] = &[$(Self::$fault,)+];

            /// Its name in configuration and fault file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$fault => $name,)+ }
            }
        }
    };
}

faults! {
    /// Behaves.
    None = "none",
    /// Answers under the next request's id.
    WrongRequestId = "wrong-request-id",
    /// A right signature by another key.
    OtherKey = "other-key",
    /// A valid signature over another digest.
    OtherDigest = "other-digest",
    /// A signature whose last byte is missing.
    Short = "short",
    /// Bytes of the right length that are no signature.
    Garbage = "garbage",
    /// Never comes back.
    Stall = "stall",
    /// The process dies before it signs.
    CrashBeforeSign = "crash-before-sign",
    /// The process dies after it signed, before it answers.
    CrashAfterSign = "crash-after-sign",
    /// The process dies after it made a key, before it answers.
    CrashAfterGenerate = "crash-after-generate",
    /// The process dies by SIGABRT, as by a fault in vendor code.
    Abort = "abort",
    /// Greets, and then reads nothing.
    HangWithoutReading = "hang-without-reading",
    /// Answers with bytes that are no frame.
    MalformedFrame = "malformed-frame",
    /// Answers with a frame over the limit.
    OversizedFrame = "oversized-frame",
    /// Fails with class `Transient`.
    Transient = "transient",
    /// Fails with class `Auth`.
    Auth = "auth",
    /// Fails with class `LockedOut`.
    LockedOut = "locked-out",
    /// Fails with class `KeyMissing`.
    KeyMissing = "key-missing",
    /// Fails with class `KeyAmbiguous`.
    KeyAmbiguous = "key-ambiguous",
    /// Everything fails with class `Lost`, as after unplugging.
    Lost = "lost",
    /// Waits for a touch, though the descriptor says nothing of touching.
    Touch = "touch",
    /// Says that it waits for a touch, and at once that none came.
    TouchTimeout = "touch-timeout",
    /// Takes its time, and all of it once it is cancelled.
    IgnoreCancel = "ignore-cancel",
    /// Says that a key is destroyed, and keeps it.
    KeepsDestroyed = "keeps-destroyed",
    /// The process dies after it destroyed a key, before it answers.
    CrashAfterDestroy = "crash-after-destroy",
    /// Evidence answers another nonce.
    OtherNonce = "other-nonce",
    /// Evidence is of another key.
    OtherEvidence = "other-evidence",
    /// `Hello` names another label.
    WrongHelloLabel = "wrong-hello-label",
    /// `Hello` tells another wire version.
    WrongHelloVersion = "wrong-hello-version",
    /// `Hello` comes after [`SLOW_HELLO`].
    SlowHello = "slow-hello",
}

/// How long a slow `Hello` takes.
pub(crate) const SLOW_HELLO: std::time::Duration = std::time::Duration::from_secs(20);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().find(|fault| fault.as_str() == text);
        named
            .copied()
            .ok_or_else(|| format!("no fault is called {text:?}"))
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Says which fault is on.
#[derive(Debug)]
pub(crate) struct Switch {
    settings: Settings,
    good: AtomicU32,
}

impl Switch {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            good: AtomicU32::new(settings.fault_after),
            settings,
        }
    }

    /// Whether no fault can ever be on.
    pub(crate) fn is_off(&self) -> bool {
        self.settings.fault == Fault::None && self.settings.fault_file.is_none()
    }

    /// The fault that is on now. A fault file that is missing or empty means none.
    pub(crate) fn now(&self) -> Fault {
        let Some(file) = &self.settings.fault_file else {
            return self.settings.fault;
        };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        match text.trim() {
            "" => Fault::None,
            // A name that does not exist has to be noticed: a test with it would prove nothing.
            name => name.parse().unwrap_or(Fault::Abort),
        }
    }

    /// The fault for a signature; counts those that go well before it strikes.
    pub(crate) fn strike(&self) -> Fault {
        let fault = self.now();
        let spend = |left: u32| left.checked_sub(1);
        let spared = fault != Fault::None
            && self
                .good
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
                .is_ok();
        if spared { Fault::None } else { fault }
    }
}
