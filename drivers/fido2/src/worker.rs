//! The one worker of a security key: looks for it anew for every request.

use std::sync::Arc;

use ctap_hid_fido2::fidokey::GetAssertionArgsBuilder;
use sealwright_core::verify::verify_message;
use sealwright_core::webauthn::{Assertion, Attestation, Demand, RP_ID, Vouching};
use sealwright_driver_api::{
    DriverError, ErrorClass, EvidenceGrade, Generate, KeyDescription, KeyDriver, KeySpec, KeyUri,
    Scheme, SignContext, SignInput, SignRequest, Signature,
};
use sealwright_driver_host::ObjectName;

use crate::call::touched;
use crate::credential::{self, Credential};
use crate::device::Device;
use crate::fault::{self, fault};
use crate::token::Shared;
use crate::{pin, register};

/// What is asked for to see whether a key is there. Without a touch, so it is a signature for nobody.
const PROBE: &[u8] = b"sealwright: is this key there?";

/// Works on one request at a time.
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn find(&self) -> Result<Device, DriverError> {
        Device::find(&self.shared.address.serial)
    }

    fn read(&self, object: &ObjectName) -> Result<Credential, DriverError> {
        self.shared.files.read(object, Credential::parse)
    }

    fn describe_key(
        &self,
        object: &ObjectName,
        credential: &Credential,
        attestation: &Attestation,
    ) -> Result<KeyDescription, DriverError> {
        let (evidence, by) = match attestation.by {
            Vouching::Nobody => (EvidenceGrade::None, "nobody"),
            Vouching::Itself => (EvidenceGrade::None, "itself"),
            Vouching::UnknownMaker => (EvidenceGrade::Claimed, "unknown maker"),
            Vouching::Maker => (EvidenceGrade::Claimed, "maker"),
        };
        let aaguid = attestation.credential.aaguid;
        let aaguid: String = aaguid.iter().map(|byte| format!("{byte:02x}")).collect();
        let claims = [("attested_by", by.to_owned()), ("aaguid", aaguid)];
        Ok(KeyDescription {
            uri: self.shared.address.uri(object)?,
            spki_der: credential.spki.der().to_vec(),
            schemes: self.shared.schemes.clone(),
            evidence,
            claims: claims.map(|(name, value)| (name.to_owned(), value)).into(),
        })
    }
}

/// Asks, without a touch, whether the security key knows the key.
fn probe(device: &Device, name: &str, credential: &Credential) -> Result<(), DriverError> {
    let args = GetAssertionArgsBuilder::new(RP_ID, PROBE)
        .credential_id(&credential.id)
        .without_pin_and_uv()
        .without_up()
        .build();
    match device.key.get_assertion_with_args(&args) {
        Ok(_) => Ok(()),
        // It would not say so of a key that it does not know.
        Err(error) if fault::code(&error.to_string()) == Some(fault::PIN_REQUIRED) => Ok(()),
        Err(error) => {
            let what = format!("{}: looking for {name}", device.name);
            Err(fault(&what, &error.to_string()))
        }
    }
}

impl KeyDriver for Worker {
    fn health(&mut self) -> Result<(), DriverError> {
        let device = self.find()?;
        let what = format!("{}: asking how it is", device.name);
        let info = device.key.get_info();
        info.map(drop).map_err(|e| fault(&what, &e.to_string()))
    }

    fn describe(&mut self, uri: &KeyUri) -> Result<KeyDescription, DriverError> {
        let object = self.shared.address.object(uri)?;
        let credential = self.read(&object)?;
        probe(&self.find()?, object.as_str(), &credential)?;
        let (said, challenge) = (&credential.attestation, &credential.challenge);
        let attested = credential::attested(said, challenge, &self.shared.roots).map_err(|e| {
            let detail = format!("{}: its attestation does not hold: {e}", object.as_str());
            DriverError::new(ErrorClass::KeyMissing, "", detail)
        })?;
        self.describe_key(&object, &credential, &attested)
    }

    fn sign(
        &mut self,
        request: &SignRequest,
        ctx: &SignContext<'_>,
    ) -> Result<Signature, DriverError> {
        let object = self.shared.address.object(&request.key)?;
        let demand = demand(request.scheme)?;
        request.check(self.shared.max_message)?;
        let SignInput::Message(message) = &request.input else {
            return Err(DriverError::bad_request(
                "a security key signs messages, not digests",
            ));
        };
        let credential = self.read(&object)?;
        let mut device = self.find()?;
        let shown = match demand {
            Demand::Presence => None,
            Demand::Verification => Some(pin::shown(&mut device, &self.shared.secrets)?),
        };
        let builder = GetAssertionArgsBuilder::new(RP_ID, message).credential_id(&credential.id);
        let args = match &shown {
            Some(pin) => builder.pin(pin),
            None => builder.without_pin_and_uv(),
        };
        let args = args.build();
        let what = format!("{}: signing with {}", device.name, object.as_str());
        let answers = touched(&device, ctx, &what, || {
            let answers = device.key.get_assertion_with_args(&args);
            answers.map_err(|e| e.to_string())
        })?;
        let answer = answers.into_iter().next();
        let answer = answer.map(|answer| Assertion {
            authenticator_data: answer.auth_data,
            signature: answer.signature,
        });
        checked(answer, &credential, (request.scheme, message)).map_err(|why| {
            let detail = format!("{what}: {why}; does another program use it?");
            DriverError::new(ErrorClass::Transient, "", detail)
        })
    }

    fn generator(&mut self) -> Option<&mut dyn Generate> {
        Some(self)
    }
}

/// The library takes whatever comes over the wire for the answer, also if it is another program's.
fn checked(
    answer: Option<Assertion>,
    credential: &Credential,
    (scheme, message): (Scheme, &[u8]),
) -> Result<Signature, String> {
    let answer = answer.ok_or("it gave no assertion")?;
    let bytes = answer.to_bytes().map_err(|e| e.to_string())?;
    verify_message(credential.spki.der(), scheme, &[message], &bytes).map_err(|e| e.to_string())?;
    Ok(Signature::WebAuthn(answer))
}

fn demand(scheme: Scheme) -> Result<Demand, DriverError> {
    scheme.assertion().ok_or_else(|| {
        let detail = format!(
            "a security key makes no {scheme} signatures: it signs authenticator data, schemes webauthn-p256-sha256 and webauthn-p256-sha256-uv"
        );
        DriverError::unsupported(detail)
    })
}

impl Generate for Worker {
    fn generate(
        &mut self,
        spec: &KeySpec,
        ctx: &SignContext<'_>,
    ) -> Result<KeyDescription, DriverError> {
        let object = self.shared.address.object(&spec.uri)?;
        let demand = demand(spec.scheme)?;
        self.shared.files.refuse_existing(&object)?;
        let mut device = self.find()?;
        let secrets = &self.shared.secrets;
        let needs_pin = demand == Demand::Verification || secrets.is_configured();
        let shown = needs_pin
            .then(|| pin::shown(&mut device, secrets))
            .transpose()?;
        let pin = shown.as_ref().map(|pin| pin.as_str());
        let name = object.as_str();
        let (credential, attested) = register::make(&device, ctx, (name, pin, &self.shared.roots))?;
        let bytes = credential.to_bytes().map_err(|e| {
            DriverError::bad_request(format!("{name}: the key cannot be written: {e}"))
        })?;
        // A crash before this loses a key that nobody knows of yet.
        self.shared.files.add(&object, &bytes)?;
        self.describe_key(&object, &credential, &attested)
    }
}
