//! What a card's or pcscd's answer means.

use sealwright_driver_api::{DriverError, ErrorClass};
use yubikey::Error;

/// What `error` means; `what` says what failed, as in "card 12345678: signing in slot 9c".
pub(crate) fn fault(what: &str, error: Error) -> DriverError {
    let (class, text) = match error {
        Error::PcscError { inner: Some(error) } => pcsc(error),
        Error::WrongPin { tries: 0 } | Error::PinLocked => (
            ErrorClass::LockedOut,
            "the PIN is locked; unblock it with the PUK: `ykman piv access unblock-pin`".to_owned(),
        ),
        Error::WrongPin { tries } => (
            ErrorClass::Auth,
            format!("wrong PIN, {tries} tries are left; it is not tried again"),
        ),
        Error::AuthenticationError => (
            ErrorClass::Auth,
            "the card refuses: PIN or management key was not accepted".to_owned(),
        ),
        Error::NotFound => (
            ErrorClass::KeyMissing,
            "there is nothing in the slot".to_owned(),
        ),
        Error::NotSupported => (
            ErrorClass::Unsupported,
            "the card's firmware cannot do that".to_owned(),
        ),
        other => (ErrorClass::Transient, other.to_string()),
    };
    let code = match error {
        Error::PcscError { inner: Some(error) } => format!("{error:?}"),
        other => other.name().unwrap_or_default().to_owned(),
    };
    DriverError::new(class, code, format!("{what}: {text}"))
}

/// A card that was taken out is not lost for the process: the next request looks for it again.
fn pcsc(error: pcsc::Error) -> (ErrorClass, String) {
    use pcsc::Error as Pcsc;
    match error {
        Pcsc::NoService | Pcsc::ServiceStopped => (
            ErrorClass::Transient,
            "pcscd does not run: `systemctl start pcscd.socket`".to_owned(),
        ),
        Pcsc::SharingViolation => (
            ErrorClass::Transient,
            "another program has the card for itself; end it (gpg's scdaemon is one that does that)"
                .to_owned(),
        ),
        Pcsc::SecurityViolation => (
            ErrorClass::Config,
            "pcscd lets this user not near the card; see its polkit rules".to_owned(),
        ),
        other => (ErrorClass::Transient, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_pin_is_told_from_a_wrong_one() {
        let rows = [
            (
                Error::WrongPin { tries: 0 },
                ErrorClass::LockedOut,
                "locked",
            ),
            (Error::PinLocked, ErrorClass::LockedOut, "unblock"),
            (Error::WrongPin { tries: 2 }, ErrorClass::Auth, "2 tries"),
            (Error::AuthenticationError, ErrorClass::Auth, "refuses"),
            (Error::NotFound, ErrorClass::KeyMissing, "nothing"),
        ];
        for (error, class, part) in rows {
            let fault = fault("card 1", error);
            assert_eq!(fault.class, class);
            assert!(fault.detail.contains(part), "{fault}");
        }
    }

    #[test]
    fn a_card_that_is_away_or_taken_is_worth_another_try() {
        for inner in [
            pcsc::Error::NoService,
            pcsc::Error::SharingViolation,
            pcsc::Error::RemovedCard,
        ] {
            let fault = fault("card 1", Error::PcscError { inner: Some(inner) });
            assert_eq!(fault.class, ErrorClass::Transient, "{fault}");
        }
    }
}
