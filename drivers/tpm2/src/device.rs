//! One connection to the TPM, and the commands sent through it.
//!
//! A device that lost its TPM is never repaired: it is dropped and another one opened. Drop comes first,
//! because a context flushes its handles when it goes, and a new one would have got the same handle numbers.

use sealwright_driver_api::{DriverError, ErrorClass, Scheme};
use tss_esapi::constants::PropertyTag;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Auth, Digest, HashcheckTicket, MaxBuffer, Public, Signature};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::{Context, Error};

use crate::blob::Blob;
use crate::fault::Fault;
use crate::loaded::Loaded;
use crate::settings::{SessionKind, Settings};
use crate::{capability, connect, template};

/// An open TPM with our storage root key in it.
pub(crate) struct Device {
    context: Context,
    storage_root_key: KeyHandle,
    session: AuthSession,
    loaded: Loaded,
}

impl Device {
    /// Connects to the TPM and makes sure that it is the pinned one; see [`connect`].
    pub(crate) fn open(settings: &Settings, pin: &str) -> Result<Self, Fault> {
        let mut context = connect::context(&settings.tcti)?;
        let storage_root_key = connect::storage_root_key(&mut context, pin, &settings.tcti)?;
        let session = match settings.session {
            SessionKind::Hmac => connect::salted_session(&mut context, storage_root_key)?,
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

    /// Empties every slot but the storage root key's, for work that needs two.
    pub(crate) fn make_all_room(&mut self) -> Result<(), Fault> {
        self.loaded.clear(&mut self.context)
    }

    /// The session that keeps auth values off the bus.
    pub(crate) fn session(&self) -> AuthSession {
        self.session
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
    DriverError::unsupported(detail).into()
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

/// "This digest was not hashed by you": right for unrestricted keys.
fn null_ticket() -> Result<HashcheckTicket, Error> {
    TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: Default::default(),
    }
    .try_into()
}
