//! The way to a TPM: context, the storage root key that proves which TPM it is, and a session salted to it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use sealwright_driver_api::{DriverError, ErrorClass};
use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::{SessionType, StartupType};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Public, SymmetricDefinition};
use tss_esapi::traits::Marshall as _;
use tss_esapi::{Context, Error, WrapperErrorKind};

use crate::fault::{Fault, Recovery};
use crate::settings::Tcti;
use crate::{sweep, template};

/// A context for the TPM at `tcti`. Where there is no resource manager, the TPM is started and all its slots
/// are emptied.
pub(crate) fn context(tcti: &Tcti) -> Result<Context, Fault> {
    if let Tcti::Device(path) = tcti {
        may_open(path)?;
    }
    let mut context = tcti.name_conf().and_then(Context::new).map_err(|e| {
        let fault = Fault::new("connecting", e);
        let class = fault.error.class;
        fault.explained(class, format!("no TPM answers at {tcti}"))
    })?;
    if !tcti.has_resource_manager() {
        start_up(&mut context)?;
        sweep::all_slots(&mut context)?;
    }
    Ok(context)
}

/// Makes the storage root key, and keeps it only if this is the TPM that `pin` names: the SHA-256, in lower-case
/// hex, of the key's TPMT_PUBLIC. That is its TPM name without the two bytes of the hash's name.
///
/// The session's salt is encrypted to this key, so the pin is also what keeps an interposer on the bus out.
pub(crate) fn storage_root_key(
    context: &mut Context,
    pin: &str,
    tcti: &Tcti,
) -> Result<KeyHandle, Fault> {
    let failed = |e| explain_owner(Fault::new("making the storage root key", e));
    let template = template::storage_root_key().map_err(failed)?;
    // The owner password is empty, so a password session has nothing to give away.
    let made = context
        .execute_with_session(Some(AuthSession::Password), |context| {
            context.create_primary(Hierarchy::Owner, template, None, None, None, None)
        })
        .map_err(failed)?;
    check_pin(&made.out_public, pin, tcti)?;
    Ok(made.key_handle)
}

/// An HMAC session that also encrypts the first parameter both ways, so that neither auth values nor new keys
/// cross the bus in clear. Its salt is encrypted to the storage root key.
pub(crate) fn salted_session(context: &mut Context, key: KeyHandle) -> Result<AuthSession, Fault> {
    let failed = |e| Fault::new("opening a session", e);
    let session = context
        .execute_without_session(|context| {
            context.start_auth_session(
                Some(key),
                None,
                None,
                SessionType::Hmac,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        })
        .and_then(|session| session.ok_or(Error::WrapperError(WrapperErrorKind::WrongValueFromTpm)))
        .map_err(failed)?;
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_decrypt(true)
        .with_encrypt(true)
        .with_continue_session(true)
        .build();
    context
        .tr_sess_set_attributes(session, attributes, mask)
        .map_err(failed)?;
    Ok(session)
}

/// tss says "IO error" for each of these; an operator needs to know which.
fn may_open(path: &Path) -> Result<(), Fault> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let Err(error) = opened else { return Ok(()) };
    let detail = format!("cannot open the TPM {}: {error}", path.display());
    Err(match error.kind() {
        ErrorKind::PermissionDenied => DriverError::config(format!(
            "{detail}; the driver's user has to be in the device's group (tss)"
        ))
        .into(),
        ErrorKind::NotFound => DriverError::config(detail).into(),
        _ => Fault {
            recovery: Recovery::Rebuild,
            error: DriverError::new(ErrorClass::Lost, "", detail),
        },
    })
}

/// After a reset nobody else starts a TPM without a resource manager.
fn start_up(context: &mut Context) -> Result<(), Fault> {
    match context.startup(StartupType::Clear) {
        Ok(()) => Ok(()),
        // TPM2_Startup says INITIALIZE where the TPM was started before.
        Err(e) if e == Error::Tss2Error(0x100.into()) => Ok(()),
        Err(e) => Err(Fault::new("starting the TPM", e)),
    }
}

fn explain_owner(fault: Fault) -> Fault {
    if fault.error.class != ErrorClass::Auth {
        return fault;
    }
    let detail = "the TPM's owner hierarchy has a password; this driver needs it empty (tpm2_changeauth -c owner)";
    fault.explained(ErrorClass::Config, detail.to_owned())
}

fn check_pin(public: &Public, pin: &str, tcti: &Tcti) -> Result<(), Fault> {
    let area = public
        .marshall()
        .map_err(|e| Fault::new("reading the storage root key", e))?;
    let found = hex::encode(Sha256::digest(area));
    if found == pin {
        return Ok(());
    }
    let detail = format!(
        "this is another TPM: the storage root key at {tcti} is {found}, the token's serial pins {pin:?}; \
         if this host's TPM is new to Sealwright, or was cleared, set serial to the first value"
    );
    Err(DriverError::config(detail).into())
}
