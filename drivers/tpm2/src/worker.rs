//! The one worker of a TPM: a TPM does one command at a time, so a second session would gain nothing.

use std::sync::Arc;

use sealwright_driver_api::{
    Attest, Challenge, Destroy, DriverError, ErrorClass, EvidenceGrade, Generate, KeyDescription,
    KeyDriver, KeySpec, KeyUri, Nonce, RawEvidence, Sha256Digest, SignContext, SignInput,
    SignRequest, Signature,
};

use sealwright_driver_host::ObjectName;

use crate::attest;
use crate::blob::Blob;
use crate::capability;
use crate::device::Device;
use crate::fault::{Fault, Recovery};
use crate::public::{self, SigningKey};
use crate::template;
use crate::token::Shared;

/// Works on one request at a time; opens the TPM again where it was lost.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    /// `None` after the TPM was lost, until the next request.
    device: Option<Device>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, device: Option<Device>) -> Self {
        Self { shared, device }
    }

    /// Runs `work`, and once more where the first failure can be cured. An answer about a credential or a key
    /// is final, so no wrong auth value is ever sent twice.
    fn with_device<T>(
        &mut self,
        work: impl Fn(&mut Device) -> Result<T, Fault>,
    ) -> Result<T, DriverError> {
        match self.attempt(&work) {
            Ok(done) => return Ok(done),
            Err(Fault {
                recovery: Recovery::None,
                error,
            }) => return Err(error),
            Err(fault) => {
                tracing::info!(error = %fault.error, recovery = ?fault.recovery, "trying once more")
            }
        }
        self.attempt(&work).map_err(|fault| fault.error)
    }

    fn attempt<T>(&mut self, work: impl Fn(&mut Device) -> Result<T, Fault>) -> Result<T, Fault> {
        let device = match &mut self.device {
            Some(device) => device,
            none => none.insert(self.shared.open_device()?),
        };
        let result = work(device);
        if matches!(&result, Err(fault) if fault.recovery == Recovery::Rebuild) {
            self.device = None;
        }
        result
    }

    fn key(&self, uri: &KeyUri) -> Result<(ObjectName, Blob, SigningKey), DriverError> {
        let object = self.shared.address.object(uri)?;
        let blob = self.shared.store.read(&object)?;
        let key = SigningKey::of(&blob.public).map_err(|why| {
            DriverError::unsupported(format!("key {:?} cannot be used: {why}", object.as_str()))
        })?;
        Ok((object, blob, key))
    }

    /// A key is described only after the TPM took it: a file alone proves nothing.
    fn describe_object(&mut self, uri: &KeyUri) -> Result<KeyDescription, DriverError> {
        let (object, blob, key) = self.key(uri)?;
        self.with_device(|device| device.load(&blob).map(|_| ()))
            .map_err(|error| about(&object, error))?;
        Ok(KeyDescription {
            uri: self.shared.address.uri(&object)?,
            spki_der: key.spki_der,
            schemes: key.schemes,
            evidence: EvidenceGrade::Claimed,
            claims: public::claims(blob.public.object_attributes()),
        })
    }
}

impl KeyDriver for Worker {
    fn health(&mut self) -> Result<(), DriverError> {
        self.with_device(Device::health)
    }

    fn describe(&mut self, uri: &KeyUri) -> Result<KeyDescription, DriverError> {
        self.describe_object(uri)
    }

    fn sign(
        &mut self,
        request: &SignRequest,
        _: &SignContext<'_>,
    ) -> Result<Signature, DriverError> {
        let (object, blob, key) = self.key(&request.key)?;
        let digest = digest_for(&key, request).map_err(|error| about(&object, error))?;
        let auth = self.shared.credential.key_auth(&object)?;
        let signature = self
            .with_device(|device| device.sign(&blob, auth.clone(), digest, request.scheme))
            .map_err(|error| about(&object, error))?;
        let raw = key.raw_signature(&signature).ok_or_else(|| {
            let detail = "the TPM answered with a signature of another kind or length";
            about(&object, DriverError::new(ErrorClass::Lost, "", detail))
        })?;
        Ok(Signature::Raw(raw))
    }

    fn generator(&mut self) -> Option<&mut dyn Generate> {
        Some(self)
    }

    fn destroyer(&mut self) -> Option<&mut dyn Destroy> {
        Some(self)
    }

    fn attester(&mut self) -> Option<&mut dyn Attest> {
        Some(self)
    }
}

impl Destroy for Worker {
    /// Without its file no TPM can load the key again; copies of the file are the operator's to find.
    fn destroy(&mut self, uri: &KeyUri, spki_sha256: &Sha256Digest) -> Result<(), DriverError> {
        let (object, _, key) = self.key(uri)?;
        if Sha256Digest::of(&[&key.spki_der]) != *spki_sha256 {
            let error = DriverError::bad_request("it is another key than the one to be destroyed");
            return Err(about(&object, error));
        }
        self.shared.store.remove(&object)?;
        // It may be loaded.
        self.with_device(Device::make_all_room)
    }
}

impl Attest for Worker {
    fn attest(&mut self, uri: &KeyUri, nonce: &Nonce) -> Result<RawEvidence, DriverError> {
        let (object, blob, key) = self.key(uri)?;
        let auth = self.shared.credential.key_auth(&object)?;
        let shared = Arc::clone(&self.shared);
        let certificate = shared.known.ek_certificate.as_deref();
        let statement = self
            .with_device(|device| attest::certify(device, certificate, &blob, auth.clone(), nonce))
            .map_err(|error| about(&object, error))?;
        Ok(RawEvidence {
            nonce: *nonce,
            token: shared.known.identity.clone(),
            spki_der: key.spki_der,
            statement,
        })
    }

    fn activate(&mut self, challenge: &Challenge) -> Result<Vec<u8>, DriverError> {
        self.with_device(|device| attest::activate(device, challenge))
    }
}

impl Generate for Worker {
    fn generate(
        &mut self,
        spec: &KeySpec,
        _: &SignContext<'_>,
    ) -> Result<KeyDescription, DriverError> {
        let object = self.shared.address.object(&spec.uri)?;
        self.shared.store.refuse_existing(&object)?;
        let auth = self.shared.credential.key_auth(&object)?;
        let blob = self
            .with_device(|device| {
                if !capability::supports(device.context(), spec.scheme, spec.rsa_bits)? {
                    return Err(unsupported(spec).into());
                }
                let template =
                    template::key(spec.scheme, spec.rsa_bits).ok_or_else(|| unsupported(spec))?;
                device.create(template, auth.clone())
            })
            .map_err(|error| about(&object, error))?;
        // A crash before this line leaves nothing behind: the TPM keeps no copy of what it made.
        self.shared.store.add(&object, &blob)?;
        self.describe_object(&spec.uri)
    }
}

fn digest_for<'a>(key: &SigningKey, request: &'a SignRequest) -> Result<&'a [u8], DriverError> {
    if !key.schemes.contains(&request.scheme) {
        return Err(DriverError::bad_request(format!(
            "it does not sign with {}",
            request.scheme
        )));
    }
    match &request.input {
        SignInput::Digest { bytes, .. } => Ok(bytes),
        SignInput::Message(_) => Err(DriverError::bad_request(
            "a TPM signs digests, not messages",
        )),
    }
}

fn unsupported(spec: &KeySpec) -> DriverError {
    let detail = match spec.scheme.as_str() {
        rsa if rsa.starts_with("rsa") => {
            format!("this TPM makes no {rsa} keys of {} bits", spec.rsa_bits)
        }
        other => format!("this TPM makes no {other} keys"),
    };
    DriverError::unsupported(detail)
}

fn about(object: &ObjectName, mut error: DriverError) -> DriverError {
    error.detail = format!("key {:?}: {}", object.as_str(), error.detail);
    error
}
