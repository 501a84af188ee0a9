//! The vendor's module: loaded once per process, and the search for the one token on it.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::{Slot, TokenInfo};
use sealwright_driver_api::{DriverError, ErrorClass};

use crate::fault::{Fault, code};

/// A loaded module. There is one per process: a second one would share all state with the first.
#[derive(Debug)]
pub(crate) struct Module {
    path: PathBuf,
    context: Pkcs11,
}

impl Module {
    /// Loads the shared library, which runs its constructors; calls nothing else in it.
    pub(crate) fn load(path: &Path) -> Result<Self, DriverError> {
        let context = Pkcs11::new(path).map_err(|error| {
            let advice = match error {
                Error::MissingSymbol(_) => "it is a library, but not a PKCS#11 module",
                _ => "install the vendor's module or correct `module` in [driver]",
            };
            let detail = format!(
                "cannot load PKCS#11 module {}: {error}; {advice}",
                path.display()
            );
            DriverError::config(detail)
        })?;
        // Never unloaded: destructors of vendor libraries are known to crash in dlclose.
        std::mem::forget(context.clone());
        Ok(Self {
            path: path.to_owned(),
            context,
        })
    }

    /// The functions of the module.
    pub(crate) fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// Calls C_Initialize. That it was called before is fine: this process has only one caller.
    pub(crate) fn initialize(&self) -> Result<(), DriverError> {
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match self.context.initialize(arguments) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(error) => {
                let doing = format!(
                    "starting PKCS#11 module {} (check its own configuration, such as SOFTHSM2_CONF)",
                    self.path.display()
                );
                let mut error = Fault::of(&doing, &error).error;
                error.class = ErrorClass::Config;
                Err(error)
            }
        }
    }

    /// Calls C_Finalize. Every session has to be dropped before: a stale one would later close a new
    /// session that happens to have the same handle.
    pub(crate) fn finalize(&self) {
        if let Err(error) = self.context.clone().finalize() {
            tracing::warn!(module = %self.path.display(), %error, "C_Finalize failed");
        }
    }

    /// Finds the one token with this label and serial. Never by slot id: it changes at every start.
    pub(crate) fn find_token(
        &self,
        label: &str,
        serial: &str,
    ) -> Result<(Slot, TokenInfo), DriverError> {
        let doing = format!("listing the tokens of {}", self.path.display());
        let slots = self
            .context
            .get_slots_with_token()
            .map_err(|error| Fault::of(&doing, &error).error)?;
        let (mut matching, mut found) = (Vec::new(), Vec::new());
        for slot in slots {
            match self.context.get_token_info(slot) {
                // SoftHSM always shows one blank token more.
                Ok(info) if !info.token_initialized() => {}
                Ok(info) => {
                    found.push(format!(
                        "{:?} serial {:?}",
                        info.label(),
                        info.serial_number()
                    ));
                    if info.label() == label && info.serial_number() == serial {
                        matching.push((slot, info));
                    }
                }
                Err(error) => found.push(format!("one that cannot be read ({})", code(&error))),
            }
        }
        let wanted = format!(
            "label {label:?} and serial {serial:?} in {}",
            self.path.display()
        );
        exactly_one(matching, &found, &wanted)
    }
}

/// A token chosen from several would be a guess, so anything but one is an error that names what is there.
fn exactly_one<T>(mut matching: Vec<T>, found: &[String], wanted: &str) -> Result<T, DriverError> {
    let how_many = match (matching.pop(), matching.len()) {
        (Some(token), 0) => return Ok(token),
        (Some(_), more) => format!("{} tokens have", more + 1),
        (None, _) => "no token has".to_owned(),
    };
    let found = if found.is_empty() {
        "no token at all".to_owned()
    } else {
        found.join(", ")
    };
    Err(DriverError::config(format!(
        "{how_many} {wanted}; found {found}; correct label and serial in the token's configuration, or plug in the right token"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_one_matching_token_is_an_error_that_names_what_is_there() {
        let found = [
            "\"a\" serial \"1\"".to_owned(),
            "\"a\" serial \"2\"".to_owned(),
        ];
        assert_eq!(exactly_one(vec![7], &found, "label"), Ok(7));
        let none = exactly_one(Vec::<u8>::new(), &found, "label \"b\"").unwrap_err();
        assert_eq!(none.class, ErrorClass::Config);
        for part in ["no token has label \"b\"", &found[0], &found[1]] {
            assert!(none.detail.contains(part), "{none}");
        }
        let several = exactly_one(vec![7, 8], &found, "label \"a\"").unwrap_err();
        assert!(
            several.detail.contains("2 tokens have label \"a\""),
            "{several}"
        );
        let empty = exactly_one(Vec::<u8>::new(), &[], "label \"b\"").unwrap_err();
        assert!(empty.detail.contains("no token at all"), "{empty}");
    }
}
