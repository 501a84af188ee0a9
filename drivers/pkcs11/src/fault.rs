//! What a module's return value means: the class the daemon acts on, and what this driver tries first.

use cryptoki::error::{Error, RvError};
use sealwright_driver_api::{DriverError, ErrorClass};

/// A rung of the recovery ladder; the order is the order of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rung {
    /// Open a new session and look the key up again: handles, session or operation state are stale.
    Reseat,
    /// Drop all sessions, finalize, initialize, find the token, log in.
    Rebuild,
}

/// What may help against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing that this driver could do.
    None,
    /// Climb to this rung.
    Climb(Rung),
    /// The code says nothing. If the token itself does not answer either, rebuild.
    AskToken,
}

/// An error on its way up the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) remedy: Remedy,
    pub(crate) error: DriverError,
}

impl Fault {
    /// What the module answered while `doing`, a phrase such as `signing with pkcs11:object=release`.
    pub(crate) fn of(doing: &str, error: &Error) -> Self {
        let (class, remedy) = match error {
            Error::Pkcs11(rv, _) => verdict(*rv),
            _ => (ErrorClass::Unsupported, Remedy::None),
        };
        let what = match error {
            Error::Pkcs11(_, function) => format!("C_{function:?} failed"),
            other => other.to_string(),
        };
        let detail = format!("{doing}: {what}{}", next_step(class));
        Self {
            remedy,
            error: DriverError::new(class, code(error), detail),
        }
    }

    /// An error that no rung of the ladder helps against.
    pub(crate) fn hopeless(error: DriverError) -> Self {
        Self {
            remedy: Remedy::None,
            error,
        }
    }

    /// The device is gone unless a rebuilt connection finds it again.
    pub(crate) fn lost(code: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = DriverError::new(ErrorClass::Lost, code, detail);
        Self {
            remedy: Remedy::Climb(Rung::Rebuild),
            error,
        }
    }

    /// The whole ladder was climbed in vain.
    pub(crate) fn exhausted(mut self) -> DriverError {
        self.error.class = ErrorClass::Lost;
        self.error
    }
}

/// The rung to climb after a fault when `reached` was climbed already; `None` when there is none left.
/// Each rung is climbed at most once, whatever the faults ask for.
pub(crate) fn next_rung(wanted: Rung, reached: Option<Rung>) -> Option<Rung> {
    match reached {
        None => Some(wanted),
        Some(Rung::Reseat) => Some(Rung::Rebuild),
        Some(Rung::Rebuild) => None,
    }
}

/// Class and remedy of every return value of PKCS#11 3.0. Without a wildcard: a value that a newer cryptoki
/// knows has to be decided here before this compiles again.
#[rustfmt::skip] // one row per class reads as the table it is
fn verdict(rv: RvError) -> (ErrorClass, Remedy) {
    use ErrorClass::{Auth, BadRequest, Config, LockedOut, Lost, Transient, Unsupported};
    use Remedy::{AskToken, Climb, None};
    use RvError::*;
    match rv {
        ObjectHandleInvalid | KeyHandleInvalid | OperationActive | OperationNotInitialized | SessionClosed
        | SessionHandleInvalid | UserNotLoggedIn
            => (Transient, Climb(Rung::Reseat)),

        HostMemory | DeviceMemory | SessionCount | Cancel | FunctionCanceled | FunctionRejected | NoEvent
        | NewPinMode | NextOtp
            => (Transient, None),

        // SoftHSM answers GeneralError to a missing token directory as well as to a caller's mistake.
        GeneralError | FunctionFailed | VendorDefined(_) | UnknownErrorCode(_) => (Transient, AskToken),

        CryptokiNotInitialized | DeviceError | DeviceRemoved | TokenNotPresent | TokenNotRecognized
        | SlotIdInvalid
            => (Lost, Climb(Rung::Rebuild)),

        MutexBad | MutexNotLocked | FipsSelfTestFailed => (Lost, None),

        PinIncorrect | PinInvalid | PinLenRange | PinExpired | PinTooWeak | UserPinNotInitialized
        | UserTypeInvalid | UserAnotherAlreadyLoggedIn | UserAlreadyLoggedIn | UserTooManyTypes
            => (Auth, None),

        PinLocked | ExceededMaxIterations => (LockedOut, None),

        DataInvalid | DataLenRange => (BadRequest, None),

        NeedToCreateThreads | CantLock | LibraryLoadFailed | CryptokiAlreadyInitialized => (Config, None),

        MechanismInvalid | MechanismParamInvalid | KeyTypeInconsistent | KeyFunctionNotPermitted | KeySizeRange
        | CurveNotSupported | DomainParamsInvalid | FunctionNotSupported | FunctionNotParallel | ArgumentsBad
        | AttributeReadOnly | AttributeSensitive | AttributeTypeInvalid | AttributeValueInvalid
        | TemplateIncomplete | TemplateInconsistent | TokenWriteProtected | ActionProhibited
        | EncryptedDataInvalid | EncryptedDataLenRange | KeyNotNeeded | KeyChanged | KeyNeeded | KeyIndigestible
        | KeyNotWrappable | KeyUnextractable | SessionParallelNotSupported | SessionReadOnly | SessionExists
        | SessionReadOnlyExists | SessionReadWriteSoExists | SignatureInvalid | SignatureLenRange
        | UnwrappingKeyHandleInvalid | UnwrappingKeySizeRange | UnwrappingKeyTypeInconsistent | WrappedKeyInvalid
        | WrappedKeyLenRange | WrappingKeyHandleInvalid | WrappingKeySizeRange | WrappingKeyTypeInconsistent
        | RandomSeedNotSupported | RandomNoRng | BufferTooSmall | SavedStateInvalid | InformationSensitive
        | StateUnsaveable | PublicKeyInvalid
            => (Unsupported, None),
    }
}

/// The code that goes into records; empty where the module was not the one to object.
pub(crate) fn code(error: &Error) -> String {
    match error {
        Error::Pkcs11(rv, _) => ckr(*rv),
        _ => String::new(),
    }
}

/// The name the standard gives a return value: `CKR_PIN_INCORRECT`.
fn ckr(rv: RvError) -> String {
    match rv {
        RvError::VendorDefined(code) | RvError::UnknownErrorCode(code) => {
            format!("CKR_{code:#010x}")
        }
        known => {
            let mut name = String::from("CKR");
            for letter in format!("{known:?}").chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            name
        }
    }
}

fn next_step(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Auth => "; it is not tried again until the token's credential changes",
        ErrorClass::LockedOut => {
            "; the PIN is locked: its security officer has to unlock the token"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn every_row_of_the_error_taxonomy_holds() {
        use ErrorClass::*;
        let rows = [
            (
                RvError::ObjectHandleInvalid,
                Transient,
                Remedy::Climb(Rung::Reseat),
                "CKR_OBJECT_HANDLE_INVALID",
            ),
            (
                RvError::OperationActive,
                Transient,
                Remedy::Climb(Rung::Reseat),
                "CKR_OPERATION_ACTIVE",
            ),
            (
                RvError::SessionHandleInvalid,
                Transient,
                Remedy::Climb(Rung::Reseat),
                "CKR_SESSION_HANDLE_INVALID",
            ),
            (
                RvError::SessionClosed,
                Transient,
                Remedy::Climb(Rung::Reseat),
                "CKR_SESSION_CLOSED",
            ),
            (
                RvError::UserNotLoggedIn,
                Transient,
                Remedy::Climb(Rung::Reseat),
                "CKR_USER_NOT_LOGGED_IN",
            ),
            (
                RvError::SessionCount,
                Transient,
                Remedy::None,
                "CKR_SESSION_COUNT",
            ),
            (
                RvError::GeneralError,
                Transient,
                Remedy::AskToken,
                "CKR_GENERAL_ERROR",
            ),
            (
                RvError::FunctionFailed,
                Transient,
                Remedy::AskToken,
                "CKR_FUNCTION_FAILED",
            ),
            (
                RvError::VendorDefined(0x8000_0001),
                Transient,
                Remedy::AskToken,
                "CKR_0x80000001",
            ),
            (
                RvError::CryptokiNotInitialized,
                Lost,
                Remedy::Climb(Rung::Rebuild),
                "CKR_CRYPTOKI_NOT_INITIALIZED",
            ),
            (
                RvError::DeviceError,
                Lost,
                Remedy::Climb(Rung::Rebuild),
                "CKR_DEVICE_ERROR",
            ),
            (
                RvError::DeviceRemoved,
                Lost,
                Remedy::Climb(Rung::Rebuild),
                "CKR_DEVICE_REMOVED",
            ),
            (
                RvError::TokenNotPresent,
                Lost,
                Remedy::Climb(Rung::Rebuild),
                "CKR_TOKEN_NOT_PRESENT",
            ),
            (
                RvError::PinIncorrect,
                Auth,
                Remedy::None,
                "CKR_PIN_INCORRECT",
            ),
            (RvError::PinExpired, Auth, Remedy::None, "CKR_PIN_EXPIRED"),
            (
                RvError::UserPinNotInitialized,
                Auth,
                Remedy::None,
                "CKR_USER_PIN_NOT_INITIALIZED",
            ),
            (
                RvError::PinLocked,
                LockedOut,
                Remedy::None,
                "CKR_PIN_LOCKED",
            ),
            (
                RvError::MechanismInvalid,
                Unsupported,
                Remedy::None,
                "CKR_MECHANISM_INVALID",
            ),
            (
                RvError::KeyTypeInconsistent,
                Unsupported,
                Remedy::None,
                "CKR_KEY_TYPE_INCONSISTENT",
            ),
            (
                RvError::KeyFunctionNotPermitted,
                Unsupported,
                Remedy::None,
                "CKR_KEY_FUNCTION_NOT_PERMITTED",
            ),
            (
                RvError::DataLenRange,
                BadRequest,
                Remedy::None,
                "CKR_DATA_LEN_RANGE",
            ),
            (RvError::CantLock, Config, Remedy::None, "CKR_CANT_LOCK"),
        ];
        for (rv, class, remedy, code) in rows {
            assert_eq!(verdict(rv), (class, remedy), "{rv:?}");
            assert_eq!(ckr(rv), code);
        }
    }

    #[test]
    fn each_rung_of_the_ladder_is_climbed_at_most_once() {
        use Rung::{Rebuild, Reseat};
        for wanted in [Reseat, Rebuild] {
            assert_eq!(next_rung(wanted, None), Some(wanted));
            assert_eq!(next_rung(wanted, Some(Reseat)), Some(Rebuild));
            assert_eq!(next_rung(wanted, Some(Rebuild)), None);
        }
    }

    #[test]
    fn no_refused_credential_is_worth_another_try() {
        for rv in [
            RvError::PinIncorrect,
            RvError::PinLocked,
            RvError::PinExpired,
            RvError::PinInvalid,
        ] {
            assert_eq!(verdict(rv).1, Remedy::None, "{rv:?}");
        }
    }

    #[test]
    fn a_fault_names_what_was_done_the_function_the_code_and_the_next_step() {
        let error = Error::Pkcs11(RvError::PinIncorrect, Function::Login);
        let text = Fault::of("logging in to token hsm1", &error)
            .error
            .to_string();
        for part in [
            "logging in to token hsm1",
            "C_Login",
            "CKR_PIN_INCORRECT",
            "not tried again",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
