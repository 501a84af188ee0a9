//! The one login of a process, and when there is none.

use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::TokenInfo;
use cryptoki::types::RawAuthPin;
use sealwright_driver_api::{DriverError, ErrorClass};
use sealwright_driver_host::Secret;

use crate::fault::Fault;

/// What a token says of its user PIN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PinState {
    pub(crate) uninitialized: bool,
    pub(crate) to_be_changed: bool,
    pub(crate) locked: bool,
    /// A wrong PIN was entered since the last right one.
    pub(crate) low: bool,
}

impl PinState {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self {
            uninitialized: !info.user_pin_initialized(),
            to_be_changed: info.user_pin_to_be_changed(),
            locked: info.user_pin_locked(),
            low: info.user_pin_count_low() || info.user_pin_final_try(),
        }
    }

    /// Refuses a login that must not be tried, before the PIN is even read.
    ///
    /// `mark_stands`: a login mark is left over. The host lets a login through beside it only if the
    /// credential is another one by now; then the wrong try that the token counts is known to be ours.
    pub(crate) fn check(self, token: &str, mark_stands: bool) -> Result<(), DriverError> {
        let refuse = |class, code: &str, why: &str| {
            Err(DriverError::new(
                class,
                code,
                format!("token {token}: no login: {why}"),
            ))
        };
        match self {
            Self { locked: true, .. } => refuse(
                ErrorClass::LockedOut,
                "CKF_USER_PIN_LOCKED",
                "its user PIN is locked; its security officer has to unlock it",
            ),
            Self {
                uninitialized: true,
                ..
            } => refuse(
                ErrorClass::Auth,
                "CKF_USER_PIN_INITIALIZED",
                "it has no user PIN yet; its security officer has to set one",
            ),
            Self {
                to_be_changed: true,
                ..
            } => refuse(
                ErrorClass::Auth,
                "CKF_USER_PIN_TO_BE_CHANGED",
                "its user PIN has to be changed first, with the vendor's tool",
            ),
            Self { low: true, .. } if !mark_stands => refuse(
                ErrorClass::Auth,
                "CKF_USER_PIN_COUNT_LOW",
                "somebody entered a wrong PIN since the last right one; log in once with the vendor's tool and the right PIN, which resets the count",
            ),
            _ => Ok(()),
        }
    }
}

/// Calls C_Login once. That the token is logged in already is fine: a login is per process.
pub(crate) fn log_in(session: &Session, token: &str, pin: &Secret) -> Result<(), DriverError> {
    let pin = RawAuthPin::new(Box::new(pin.as_bytes().to_vec()));
    match session.login_with_raw(UserType::User, &pin) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(error) => Err(Fault::of(&format!("logging in to token {token}"), &error).error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_cannot_be_right_is_not_tried() {
        let sound = PinState::default();
        let rows = [
            (
                PinState {
                    locked: true,
                    low: true,
                    ..sound
                },
                ErrorClass::LockedOut,
                "locked",
            ),
            (
                PinState {
                    uninitialized: true,
                    ..sound
                },
                ErrorClass::Auth,
                "no user PIN",
            ),
            (
                PinState {
                    to_be_changed: true,
                    ..sound
                },
                ErrorClass::Auth,
                "changed",
            ),
        ];
        for (state, class, part) in rows {
            let error = state.check("hsm1", true).unwrap_err();
            assert_eq!(error.class, class);
            assert!(
                error.detail.contains("hsm1") && error.detail.contains(part),
                "{error}"
            );
        }
        assert_eq!(sound.check("hsm1", false), Ok(()));
    }

    #[test]
    fn a_low_count_forbids_a_login_unless_the_wrong_try_was_ours() {
        let low = PinState {
            low: true,
            ..PinState::default()
        };
        let error = low.check("hsm1", false).unwrap_err();
        assert_eq!(
            (error.class, error.code.as_str()),
            (ErrorClass::Auth, "CKF_USER_PIN_COUNT_LOW")
        );
        assert!(error.detail.contains("resets the count"), "{error}");
        assert_eq!(low.check("hsm1", true), Ok(()));
    }
}
