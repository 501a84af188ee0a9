//! One connection to the TPM: context, storage root key, session and the key handles loaded through it.
//!
//! A device that lost its TPM is never repaired: it is dropped and another one opened. Drop comes first,
//! because a context flushes its handles when it goes, and a new one would have got the same handle numbers.

use sealwright_driver_api::{DriverError, ErrorClass, Scheme};
use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::constants::{PropertyTag, SessionType, StartupType};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Auth, Digest, HashcheckTicket, MaxBuffer, Public, Signature, SymmetricDefinition,
};
use tss_esapi::traits::Marshall as _;
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::{Context, Error};

use crate::blob::Blob;
use crate::fault::{Fault, Recovery};
use crate::loaded::Loaded;
use crate::settings::{SessionKind, Settings, Tcti};
use crate::{capability, sweep, template};

/// An open TPM with our storage root key in it.
pub(crate) struct Device {
    context: Context,
    storage_root_key: KeyHandle,
    session: AuthSession,
    loaded: Loaded,
}

impl Device {
    /// Connects, and goes on only if this is the TPM that `pin` names: the SHA-256, in lower-case hex, of its
    /// storage root key's TPMT_PUBLIC. That is the key's TPM name without the two bytes of the hash's name.
    ///
    /// The session's salt is encrypted to that key, so the pin is also what keeps a man on the bus out.
    pub(crate) fn open(settings: &Settings, pin: &str) -> Result<Self, Fault> {
        let mut context = connect(&settings.tcti)?;
        if !settings.tcti.has_resource_manager() {
            start_up(&mut context)?;
            sweep::all_slots(&mut context)?;
        }
        let (storage_root_key, public) = make_storage_root_key(&mut context)?;
        check_pin(&public, pin, &settings.tcti)?;
        let session = match settings.session {
            SessionKind::Hmac => salted_session(&mut context, storage_root_key)?,
            SessionKind::Password => AuthSession::Password,
        };
        let slots = capability::property(&mut context, PropertyTag::HrTransientMin)?;
        Ok(Self {
            context,
            storage_root_key,
            session,
            loaded: Loaded::new(slots),
        })
    }

    /// For questions that need no authorisation.
    pub(crate) fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Asks the TPM itself, not a cache.
    pub(crate) fn health(&mut self) -> Result<(), Fault> {
        capability::property(&mut self.context, PropertyTag::Manufacturer).map(|_| ())
    }

    /// Makes a key under the storage root key.
    pub(crate) fn create(&mut self, template: Public, auth: Auth) -> Result<Blob, Fault> {
        // The TPM builds the new key in a free slot.
        self.loaded.make_room(&mut self.context)?;
        let parent = self.storage_root_key;
        let made = self
            .context
            .execute_with_session(Some(self.session), |context| {
                context.create(parent, template, Some(auth), None, None, None)
            })
            .map_err(|e| Fault::new("making a key", e))?;
        Ok(Blob {
            public: made.out_public,
            private: made.out_private,
        })
    }

    /// Loads a key, or finds it loaded.
    pub(crate) fn load(&mut self, blob: &Blob) -> Result<KeyHandle, Fault> {
        if let Some(handle) = self.loaded.find(blob) {
            return Ok(handle);
        }
        self.loaded.make_room(&mut self.context)?;
        let parent = self.storage_root_key;
        let handle = self
            .context
            .execute_with_session(Some(self.session), |context| {
                context.load(parent, blob.private.clone(), blob.public.clone())
            })
            .map_err(|e| explain_load(Fault::new("loading the key", e)))?;
        self.loaded.add(blob.clone(), handle);
        Ok(handle)
    }

    /// Signs a digest. The auth value is set each time, because it is lost with the handle.
    pub(crate) fn sign(
        &mut self,
        blob: &Blob,
        auth: Auth,
        digest: &[u8],
        scheme: Scheme,
    ) -> Result<Signature, Fault> {
        let failed = |e| explain_sign(Fault::new("signing", e));
        let scheme = template::signature_scheme(scheme).ok_or_else(|| unsupported(scheme))?;
        let digest = Digest::try_from(digest).map_err(failed)?;
        let ticket = null_ticket().map_err(failed)?;
        let key = self.load(blob)?;
        self.context.tr_set_auth(key.into(), auth).map_err(failed)?;
        let session = Some(self.session);
        let signed = self
            .context
            .execute_with_session(session, |context| context.sign(key, digest, scheme, ticket));
        signed.map_err(|e| self.blame(failed(e)))
    }

    /// Without a resource manager, another process may have emptied the slots and opened a session that got our
    /// session's number. The TPM then says "bad auth" of a good credential. So the session alone is tried, in a
    /// command that needs no authorisation: where it fails there too, the session is at fault.
    fn blame(&mut self, fault: Fault) -> Fault {
        if fault.error.class != ErrorClass::Auth || self.session == AuthSession::Password {
            return fault;
        }
        let session = Some(self.session);
        let answer = self.context.execute_with_session(session, |context| {
            context.hash(
                MaxBuffer::default(),
                HashingAlgorithm::Sha256,
                Hierarchy::Null,
            )
        });
        if answer.is_ok() {
            fault
        } else {
            Fault::session_lost()
        }
    }
}

fn unsupported(scheme: Scheme) -> Fault {
    let detail = format!("no TPM 2.0 signs with {scheme}");
    DriverError::new(ErrorClass::Unsupported, "", detail).into()
}

/// A TPM judges a foreign or damaged blob in many words; they all mean the same to an operator.
fn explain_load(fault: Fault) -> Fault {
    if !fault.is_verdict() {
        return fault;
    }
    let detail = format!(
        "the TPM refuses the key file: it is damaged, or was made by another TPM or before this one was cleared ({})",
        fault.error.detail
    );
    fault.explained(ErrorClass::KeyMissing, detail)
}

fn explain_sign(fault: Fault) -> Fault {
    if fault.error.class != ErrorClass::Auth {
        return fault;
    }
    let detail = "the TPM refuses the key's auth value: the token's credential is not the one the key was made with";
    fault.explained(ErrorClass::Auth, detail.to_owned())
}

fn connect(tcti: &Tcti) -> Result<Context, Fault> {
    let unreachable = |e| {
        let fault = Fault::new("connecting", e);
        let class = fault.error.class;
        fault.explained(class, format!("no TPM answers at {tcti}"))
    };
    if let Tcti::Device(path) = tcti {
        may_open(path)?;
    }
    tcti.name_conf().and_then(Context::new).map_err(unreachable)
}

/// tss says "IO error" for each of these; an operator needs to know which.
fn may_open(path: &std::path::Path) -> Result<(), Fault> {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path);
    let Err(error) = opened else { return Ok(()) };
    let detail = format!("cannot open the TPM {}: {error}", path.display());
    Err(match error.kind() {
        std::io::ErrorKind::PermissionDenied => DriverError::config(format!(
            "{detail}; the driver's user has to be in the device's group (tss)"
        ))
        .into(),
        std::io::ErrorKind::NotFound => DriverError::config(detail).into(),
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

fn make_storage_root_key(context: &mut Context) -> Result<(KeyHandle, Public), Fault> {
    let failed = |e| explain_storage_root_key(Fault::new("making the storage root key", e));
    let template = template::storage_root_key().map_err(failed)?;
    // The owner password is empty, so a password session has nothing to give away.
    let made = context
        .execute_with_session(Some(AuthSession::Password), |context| {
            context.create_primary(Hierarchy::Owner, template, None, None, None, None)
        })
        .map_err(failed)?;
    Ok((made.key_handle, made.out_public))
}

fn explain_storage_root_key(fault: Fault) -> Fault {
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

/// An HMAC session that also encrypts the first parameter both ways, so that neither auth values nor new keys
/// cross the bus in clear. Its salt is encrypted to the storage root key.
fn salted_session(context: &mut Context, key: KeyHandle) -> Result<AuthSession, Fault> {
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
        .and_then(|session| {
            session.ok_or(Error::WrapperError(
                tss_esapi::WrapperErrorKind::WrongValueFromTpm,
            ))
        })
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

/// "This digest was not hashed by you": right for unrestricted keys.
fn null_ticket() -> Result<HashcheckTicket, Error> {
    TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: Default::default(),
    }
    .try_into()
}
