//! Evidence of a key's origin: TPM2_Certify by an attestation key, and the endorsement key's certificate.
//!
//! The attestation key is a primary key of the endorsement hierarchy: its TPM makes the same one from the same
//! template each time, so it is nowhere stored. It and the endorsement key are flushed as soon as they have served.

use der::{AnyRef, Encode as _, Reader as _, SliceReader};
use sealwright_driver_api::{
    Bytes, Challenge, DriverError, ErrorClass, Nonce, Statement, TpmStatement,
};
use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ek};
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Auth, Data, EncryptedSecret, IdObject, Public, SignatureScheme, SymmetricDefinition,
};
use tss_esapi::traits::Marshall as _;
use tss_esapi::{Context, Error, WrapperErrorKind};

use crate::blob::Blob;
use crate::device::Device;
use crate::fault::Fault;
use crate::template;

/// Where the certificate of the RSA-2048 endorsement key lies (TCG EK Credential Profile 2.5, section 2.2.1.4).
const EK_CERTIFICATE: u32 = 0x01c0_0002;
/// The kind of endorsement key that every TPM has.
const EK: AsymmetricAlgorithmSelection = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);

/// The endorsement key's certificate in DER; `None` where the TPM's maker has put none in.
pub(crate) fn ek_certificate(context: &mut Context) -> Result<Option<Vec<u8>>, Fault> {
    let failed = |e| Fault::new("reading the endorsement key's certificate", e);
    let index = NvIndexTpmHandle::new(EK_CERTIFICATE).map_err(failed)?;
    let found = context
        .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::NvIndex(index)));
    match found.map_err(failed) {
        Ok(_) => {}
        Err(fault) if fault.is_verdict() => return Ok(None),
        Err(fault) => return Err(fault),
    }
    let stored = ek::retrieve_ek_pubcert(context, EK).map_err(failed)?;
    Ok(first_der(&stored))
}

/// Makers fill the index up with other bytes.
fn first_der(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let value: AnyRef<'_> = reader.decode().ok()?;
    value.to_der().ok()
}

/// Certifies the key of `blob`, whose auth value is `auth`, for `nonce`; `certificate` is the endorsement key's.
pub(crate) fn certify(
    device: &mut Device,
    certificate: Option<&[u8]>,
    blob: &Blob,
    auth: Auth,
    nonce: &Nonce,
) -> Result<Statement, Fault> {
    let certificate = certificate.ok_or_else(no_certificate)?;
    device.make_all_room()?;
    let object = device.load(blob)?;
    let session = device.session();
    let (key, public) = attestation_key(device.context())?;
    let certified = certify_with(device.context(), (object, auth), key, session, nonce);
    // Whatever came of it, the slot is needed.
    let flushed = flush(device.context(), key);
    let (attest, signature) = certified?;
    flushed?;
    Ok(Statement::Tpm2Certify(Box::new(TpmStatement {
        ek_certificate: Bytes(certificate.to_vec()),
        attestation_key: marshalled(public.marshall())?,
        object: marshalled(blob.public.marshall())?,
        attest,
        signature,
    })))
}

fn certify_with(
    context: &mut Context,
    (object, auth): (KeyHandle, Auth),
    key: KeyHandle,
    session: AuthSession,
    nonce: &Nonce,
) -> Result<(Bytes, Bytes), Fault> {
    let failed = |e| Fault::new("certifying the key", e);
    let nonce = Data::try_from(nonce.as_bytes().to_vec()).map_err(failed)?;
    context.tr_set_auth(object.into(), auth).map_err(failed)?;
    // The attestation key has no auth value that a password session could give away.
    let sessions = (Some(session), Some(AuthSession::Password), None);
    let (attest, signature) = context
        .execute_with_sessions(sessions, |context| {
            context.certify(object.into(), key, nonce, SignatureScheme::Null)
        })
        .map_err(failed)?;
    Ok((
        marshalled(attest.marshall())?,
        marshalled(signature.marshall())?,
    ))
}

/// The answer to a challenge for the endorsement key and the attestation key.
pub(crate) fn activate(device: &mut Device, challenge: &Challenge) -> Result<Vec<u8>, Fault> {
    let failed = |e| explain(Fault::new("answering the challenge", e));
    let credential = IdObject::try_from(challenge.credential.clone()).map_err(failed)?;
    let secret = EncryptedSecret::try_from(challenge.secret.clone()).map_err(failed)?;
    device.make_all_room()?;
    let context = device.context();
    let (key, _) = attestation_key(context)?;
    let endorsement = ek::create_ek_object_2(context, EK, None).map_err(failed);
    let answer = endorsement.and_then(|endorsement| {
        let answer = with_endorsement(context, |context, policy| {
            let sessions = (Some(AuthSession::Password), Some(policy), None);
            context.execute_with_sessions(sessions, |context| {
                context.activate_credential(key, endorsement, credential, secret)
            })
        });
        flush(context, endorsement)?;
        answer.map_err(|e| explain_answer(Fault::new("answering the challenge", e)))
    });
    flush(context, key)?;
    answer.map(|answer| answer.value().to_vec())
}

/// Runs `work` with the session that uses an endorsement key: PolicySecret of the endorsement hierarchy.
fn with_endorsement<T>(
    context: &mut Context,
    work: impl FnOnce(&mut Context, AuthSession) -> Result<T, Error>,
) -> Result<T, Error> {
    let session = context.execute_without_session(|context| {
        context.start_auth_session(
            None,
            None,
            None,
            SessionType::Policy,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )
    })?;
    let session = session.ok_or(Error::WrapperError(WrapperErrorKind::WrongValueFromTpm))?;
    let object = tss_esapi::handles::SessionHandle::from(session).into();
    context.execute_with_temporary_object(object, |context, _| {
        let policy = PolicySession::try_from(session)?;
        context.execute_with_session(Some(AuthSession::Password), |context| {
            context.policy_secret(
                policy,
                AuthHandle::Endorsement,
                Default::default(),
                Default::default(),
                Default::default(),
                None,
            )
        })?;
        work(context, session)
    })
}

fn attestation_key(context: &mut Context) -> Result<(KeyHandle, Public), Fault> {
    let failed = |e| explain(Fault::new("making the attestation key", e));
    let template = template::attestation_key().map_err(failed)?;
    let made = context
        .execute_with_session(Some(AuthSession::Password), |context| {
            context.create_primary(Hierarchy::Endorsement, template, None, None, None, None)
        })
        .map_err(failed)?;
    Ok((made.key_handle, made.out_public))
}

fn flush(context: &mut Context, key: KeyHandle) -> Result<(), Fault> {
    let flushed = context.flush_context(key.into());
    flushed.map_err(|e| Fault::new("flushing a key", e))
}

fn marshalled(bytes: Result<Vec<u8>, Error>) -> Result<Bytes, Fault> {
    let bytes = bytes.map_err(|e| Fault::new("writing down the evidence", e))?;
    Ok(Bytes(bytes))
}

fn no_certificate() -> Fault {
    let detail = "this TPM holds no certificate of an RSA-2048 endorsement key, so nobody could tell it from another";
    DriverError::unsupported(detail).into()
}

/// A TPM judges a challenge that is not its own in many words.
fn explain_answer(fault: Fault) -> Fault {
    if !fault.is_verdict() {
        return fault;
    }
    let detail = format!(
        "the challenge is for another TPM, or for another attestation key ({})",
        fault.error.detail
    );
    fault.explained(ErrorClass::BadRequest, detail)
}

fn explain(fault: Fault) -> Fault {
    if fault.error.class != ErrorClass::Auth {
        return fault;
    }
    let detail = "the TPM's endorsement hierarchy has a password; evidence needs it empty (tpm2_changeauth -c endorsement)";
    fault.explained(ErrorClass::Config, detail.to_owned())
}
