//! What a TPM's answer means: the class for the daemon, and what the worker itself tries first.

use sealwright_driver_api::{DriverError, ErrorClass};
use tss_esapi::Error;
use tss_esapi::WrapperErrorKind;
use tss_esapi::constants::response_code::{Tss2ResponseCode, Tss2ResponseCodeKind as Rc};

/// What the worker tries once before it reports the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing: the answer will not change.
    None,
    /// The same command again.
    Again,
    /// A new connection, session and key handles: the old ones are gone, or the TPM has no room left.
    Rebuild,
}

/// A failed TPM command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) recovery: Recovery,
    pub(crate) error: DriverError,
}

impl Fault {
    /// What `error` means; `what` says what failed, as in "signing with release".
    pub(crate) fn new(what: &str, error: Error) -> Self {
        let (class, recovery, code, text) = match error {
            Error::Tss2Error(rc) => classify(rc),
            Error::WrapperError(kind) => {
                let (class, recovery) = classify_wrapper(kind);
                (class, recovery, String::new(), kind.to_string())
            }
        };
        Self {
            recovery,
            error: DriverError::new(class, code, format!("{what}: {text}")),
        }
    }

    /// Another process uses our session's number.
    pub(crate) fn session_lost() -> Self {
        let detail = "another process took our session in the TPM; give each driver a TPM or use a resource manager";
        let error = DriverError::new(ErrorClass::Transient, "", detail);
        Self {
            recovery: Recovery::Rebuild,
            error,
        }
    }

    /// Same failure, better explained.
    pub(crate) fn explained(self, class: ErrorClass, detail: String) -> Self {
        let code = self.error.code;
        Self {
            recovery: self.recovery,
            error: DriverError::new(class, code, detail),
        }
    }

    /// Whether the TPM itself judged the request, in contrast to not being able to work on it.
    pub(crate) fn is_verdict(&self) -> bool {
        self.recovery == Recovery::None
            && matches!(
                self.error.class,
                ErrorClass::BadRequest | ErrorClass::Unsupported | ErrorClass::KeyMissing
            )
    }
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Self {
            recovery: Recovery::None,
            error,
        }
    }
}

/// Response codes by class (TPM 2.0 Library part 2 section 6.6); everything else is `Transient`.
const CLASSES: &[(ErrorClass, Recovery, &[Rc])] = &[
    (
        ErrorClass::Transient,
        Recovery::Again,
        &[
            Rc::Retry,
            Rc::Yielded,
            Rc::Testing,
            Rc::Canceled,
            Rc::NvRate,
            Rc::NvUnavailable,
        ],
    ),
    (
        ErrorClass::Transient,
        Recovery::Rebuild,
        &[
            Rc::ObjectMemory,
            Rc::SessionMemory,
            Rc::Memory,
            Rc::ObjectHandles,
            Rc::SessionHandles,
            Rc::ContextGap,
            Rc::ReferenceH0,
            Rc::ReferenceH1,
            Rc::ReferenceH2,
            Rc::ReferenceS0,
            Rc::ReferenceS1,
            Rc::ReferenceS2,
        ],
    ),
    (
        ErrorClass::Lost,
        Recovery::Rebuild,
        &[Rc::Initialize, Rc::Reboot],
    ),
    (
        ErrorClass::Lost,
        Recovery::None,
        &[Rc::Failure, Rc::Upgrade, Rc::NeedsTest],
    ),
    (
        ErrorClass::Auth,
        Recovery::None,
        &[
            Rc::AuthFail,
            Rc::BadAuth,
            Rc::AuthUnavailable,
            Rc::AuthMissing,
            Rc::AuthType,
            Rc::PolicyFail,
            Rc::Policy,
            Rc::PcrChanged,
            Rc::Expired,
        ],
    ),
    (ErrorClass::LockedOut, Recovery::None, &[Rc::Lockout]),
    (
        ErrorClass::KeyMissing,
        Recovery::None,
        &[
            Rc::Handle,
            Rc::Integrity,
            Rc::Binding,
            Rc::Sensitive,
            Rc::EccPoint,
        ],
    ),
    (
        ErrorClass::Unsupported,
        Recovery::None,
        &[
            Rc::Scheme,
            Rc::Curve,
            Rc::KeySize,
            Rc::Asymmetric,
            Rc::Symmetric,
            Rc::Hash,
            Rc::Kdf,
            Rc::Mgf,
            Rc::Mode,
            Rc::Type,
            Rc::CommandCode,
        ],
    ),
    (
        ErrorClass::BadRequest,
        Recovery::None,
        &[
            Rc::Size,
            Rc::Ticket,
            Rc::Value,
            Rc::Range,
            Rc::Attributes,
            Rc::Key,
            Rc::Tag,
            Rc::Selector,
            Rc::Insufficient,
            Rc::ReservedBits,
        ],
    ),
    (
        ErrorClass::Config,
        Recovery::None,
        &[Rc::Hierarchy, Rc::Disabled, Rc::Locality],
    ),
];

/// Bits of a response code that name the software layer it comes from; zero is the TPM itself.
const LAYER: u32 = 0x00FF_0000;
/// A resource manager passes the TPM's own codes on under this layer.
const LAYER_RESOURCE_MANAGER_TPM: u32 = 0x000B_0000;

fn classify(rc: Tss2ResponseCode) -> (ErrorClass, Recovery, String, String) {
    let raw = raw(rc);
    match raw & LAYER {
        0 => classify_tpm(rc, raw),
        LAYER_RESOURCE_MANAGER_TPM => classify_tpm(Tss2ResponseCode::from(raw & !LAYER), raw),
        // tss-esapi reads a code of another layer as if the TPM had said it, so no kind may be asked here.
        // After one of them the context answers every later call with BAD_SEQUENCE: only a new one helps.
        _ => (
            ErrorClass::Lost,
            Recovery::Rebuild,
            format!("TSS2 {raw:#010x}"),
            "the TPM cannot be reached".to_owned(),
        ),
    }
}

fn classify_tpm(rc: Tss2ResponseCode, raw: u32) -> (ErrorClass, Recovery, String, String) {
    let kind = rc.kind();
    let (class, recovery) = CLASSES
        .iter()
        .find(|(_, _, kinds)| kind.is_some_and(|kind| kinds.contains(&kind)))
        .map_or(
            (ErrorClass::Transient, Recovery::None),
            |(class, recovery, _)| (*class, *recovery),
        );
    let name = kind.map_or_else(|| "TPM".to_owned(), |kind| format!("TPM {kind:?}"));
    (class, recovery, format!("{name} {raw:#x}"), rc.to_string())
}

fn classify_wrapper(kind: WrapperErrorKind) -> (ErrorClass, Recovery) {
    match kind {
        WrapperErrorKind::WrongValueFromTpm
        | WrapperErrorKind::InvalidHandleState
        | WrapperErrorKind::InternalError => (ErrorClass::Lost, Recovery::Rebuild),
        WrapperErrorKind::UnsupportedParam => (ErrorClass::Unsupported, Recovery::None),
        _ => (ErrorClass::BadRequest, Recovery::None),
    }
}

/// The code itself. tss-esapi has no accessor for it; its text ends with it in hex.
fn raw(rc: Tss2ResponseCode) -> u32 {
    let text = match rc {
        Tss2ResponseCode::Success => return 0,
        Tss2ResponseCode::FormatZero(code) => code.to_string(),
        Tss2ResponseCode::FormatOne(code) => code.to_string(),
    };
    let hex = text.rsplit_once("0x").map_or("", |(_, hex)| hex);
    // Should the text ever change, an unknown layer is the safe reading: it starts over.
    u32::from_str_radix(hex, 16).unwrap_or(LAYER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(raw: u32) -> Fault {
        Fault::new("signing", Error::Tss2Error(Tss2ResponseCode::from(raw)))
    }

    #[test]
    fn each_code_has_its_class_and_recovery() {
        use ErrorClass as C;
        use Recovery as R;
        for (raw, class, recovery) in [
            (0x922, C::Transient, R::Again),         // RETRY
            (0x908, C::Transient, R::Again),         // YIELDED
            (0x90A, C::Transient, R::Again),         // TESTING
            (0x920, C::Transient, R::Again),         // NV_RATE
            (0x902, C::Transient, R::Rebuild),       // OBJECT_MEMORY
            (0x903, C::Transient, R::Rebuild),       // SESSION_MEMORY
            (0x910, C::Transient, R::Rebuild),       // REFERENCE_H0
            (0x918, C::Transient, R::Rebuild),       // REFERENCE_S0
            (0x000A_000A, C::Lost, R::Rebuild),      // TCTI IO_ERROR
            (0x0007_0007, C::Lost, R::Rebuild),      // ESYS BAD_SEQUENCE
            (0x0007_0018, C::Lost, R::Rebuild),      // ESYS RSP_AUTH_FAILED
            (0x100, C::Lost, R::Rebuild),            // INITIALIZE
            (0x130, C::Lost, R::Rebuild),            // REBOOT
            (0x101, C::Lost, R::None),               // FAILURE
            (0x98E, C::Auth, R::None),               // AUTH_FAIL, session 1
            (0x9A2, C::Auth, R::None),               // BAD_AUTH, session 1
            (0x12F, C::Auth, R::None),               // AUTH_UNAVAILABLE
            (0x99D, C::Auth, R::None),               // POLICY_FAIL, session 1
            (0x128, C::Auth, R::None),               // PCR_CHANGED
            (0x921, C::LockedOut, R::None),          // LOCKOUT
            (0x18B, C::KeyMissing, R::None),         // HANDLE, handle 1
            (0x1DF, C::KeyMissing, R::None),         // INTEGRITY, parameter 1
            (0x2D2, C::Unsupported, R::None),        // SCHEME, parameter 2
            (0x2E6, C::Unsupported, R::None),        // CURVE, parameter 2
            (0x1D5, C::BadRequest, R::None),         // SIZE, parameter 1
            (0x3E0, C::BadRequest, R::None),         // TICKET, parameter 3
            (0x185, C::Config, R::None),             // HIERARCHY, handle 1
            (0x4FF, C::Transient, R::None),          // a vendor's own
            (0x000B_0902, C::Transient, R::Rebuild), // OBJECT_MEMORY through the kernel
        ] {
            let fault = fault(raw);
            assert_eq!(
                (fault.error.class, fault.recovery),
                (class, recovery),
                "{raw:#x}"
            );
            assert!(
                fault.error.code.contains(&format!("{raw:x}")),
                "{}",
                fault.error.code
            );
        }
    }

    #[test]
    fn a_code_of_another_layer_is_not_read_as_the_tpms_own() {
        // Low bits alone, this is FAILURE, RETRY and BAD_AUTH.
        for raw in [0x000A_0001, 0x0008_0922, 0x0009_09A2] {
            assert_eq!(fault(raw).error.class, ErrorClass::Lost, "{raw:#x}");
        }
    }

    #[test]
    fn a_fault_says_what_failed_and_how() {
        let error = fault(0x9A2).error;
        assert!(error.detail.starts_with("signing: "), "{error}");
        assert_eq!(error.code, "TPM BadAuth 0x9a2");
    }

    #[test]
    fn only_a_judged_request_is_a_verdict() {
        assert!(fault(0x1DF).is_verdict());
        assert!(!fault(0x902).is_verdict());
        assert!(!fault(0x9A2).is_verdict());
    }
}
