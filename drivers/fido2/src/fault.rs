//! What a security key's status means. The library has only texts; the code in them is CTAP 2.1's (section 8.2).

use sealwright_driver_api::{DriverError, ErrorClass};

/// `CTAP2_ERR_KEEPALIVE_CANCEL`: the call was cancelled.
pub(crate) const CANCELLED: u8 = 0x2d;
/// `CTAP2_ERR_NO_CREDENTIALS`: it knows no such key.
pub(crate) const NO_CREDENTIALS: u8 = 0x2e;
/// `CTAP2_ERR_USER_ACTION_TIMEOUT`: it waited for a touch as long as it ever does.
pub(crate) const TOUCH_TIMEOUT: u8 = 0x2f;
/// `CTAP2_ERR_PUAT_REQUIRED`: it does nothing without its PIN.
pub(crate) const PIN_REQUIRED: u8 = 0x36;

/// The code in a text of the library: two hex digits after "err = 0x".
pub(crate) fn code(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once("err = 0x")?;
    u8::from_str_radix(rest.get(..2)?, 16).ok()
}

/// What `text` means; `what` says what failed, as in "security key 0123: signing with release".
pub(crate) fn fault(what: &str, text: &str) -> DriverError {
    let code = code(text);
    let (class, meaning) = match code {
        Some(0x22 | NO_CREDENTIALS) => (
            ErrorClass::KeyMissing,
            "this key was made by another security key, or the security key was reset since",
        ),
        Some(0x06) => (ErrorClass::Transient, "another program uses it"),
        Some(CANCELLED) => (ErrorClass::Transient, "another program cancelled the call"),
        Some(TOUCH_TIMEOUT) => (ErrorClass::TouchTimeout, "nobody touched it in time"),
        Some(0x26) => (ErrorClass::Unsupported, "it makes no ES256 keys"),
        Some(0x27) => (
            ErrorClass::TouchTimeout,
            "somebody refused at the security key",
        ),
        Some(0x31 | 0x33) => (ErrorClass::Auth, "wrong PIN; it is not tried again"),
        Some(0x32) => (
            ErrorClass::LockedOut,
            "its PIN is blocked; only a reset helps, and destroys all its keys",
        ),
        Some(0x34) => (
            ErrorClass::LockedOut,
            "it takes no more PINs until it was taken out and plugged in again",
        ),
        Some(0x35) => (
            ErrorClass::Config,
            "it has no PIN; set one with `fido2-token -S`, or use the scheme without -uv",
        ),
        Some(PIN_REQUIRED) => (
            ErrorClass::Config,
            "it wants its PIN; configure it as the credential, and use the scheme with -uv",
        ),
        Some(0x37) => (
            ErrorClass::Config,
            "it wants a new PIN; set one with `fido2-token -C`",
        ),
        Some(0xfe) => (ErrorClass::Transient, "it was taken out"),
        _ => (ErrorClass::Transient, text),
    };
    let code = code
        .map(|code| format!("CTAP {code:#04x}"))
        .unwrap_or_default();
    DriverError::new(class, code, format!("{what}: {meaning}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_in_the_librarys_text() {
        let text = "response_status err = 0x31 CTAP2_ERR_PIN_INVALID PIN Invalid.";
        assert_eq!(code(text), Some(0x31));
        for text in ["", "write error", "err = 0x", "err = 0xé", "err = 0xzz"] {
            assert_eq!(code(text), None, "{text}");
        }
    }

    #[test]
    fn a_refused_pin_is_never_retried_and_a_blocked_one_is_locked_out() {
        let class = |code: u8| fault("", &format!("response_status err = {code:#04x} X")).class;
        assert_eq!(class(0x31), ErrorClass::Auth);
        assert_eq!(class(0x32), ErrorClass::LockedOut);
        assert_eq!(class(0x34), ErrorClass::LockedOut);
        assert_eq!(class(0x35), ErrorClass::Config);
        assert_eq!(class(0x2e), ErrorClass::KeyMissing);
        assert_eq!(class(0xfe), ErrorClass::Transient);
    }
}
