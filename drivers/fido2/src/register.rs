//! Making a key: the security key is asked once, and what it answers has to hold.

use ciborium::Value;
use ctap_hid_fido2::fidokey::MakeCredentialArgsBuilder;
use ctap_hid_fido2::fidokey::make_credential::Attestation as Made;
use ctap_hid_fido2::public_key_credential_user_entity::PublicKeyCredentialUserEntity;
use sealwright_core::webauthn::{Attestation, RP_ID};
use sealwright_driver_api::{DriverError, ErrorClass, SignContext};
use x509_cert::Certificate;

use crate::call::touched;
use crate::credential::{self, Credential};
use crate::device::Device;

/// Has the security key make a key, for `name`, which some of them show. With what it says of the key, which holds.
pub(crate) fn make(
    device: &Device,
    ctx: &SignContext<'_>,
    (name, pin, roots): (&str, Option<&str>, &[Certificate]),
) -> Result<(Credential, Attestation), DriverError> {
    let what = format!("{}: making {name}", device.name);
    let broken = |why: String| {
        DriverError::new(
            ErrorClass::Transient,
            "",
            format!("{what}: {why}; try again"),
        )
    };
    let mut challenge = vec![0; 32];
    aws_lc_rs::rand::fill(&mut challenge).map_err(|_| broken("no randomness".to_owned()))?;
    let user = PublicKeyCredentialUserEntity::new(Some(name.as_bytes()), Some(name), Some(name));
    let builder = MakeCredentialArgsBuilder::new(RP_ID, &challenge).user_entity(&user);
    let args = match pin {
        Some(pin) => builder.pin(pin),
        None => builder.without_pin_and_uv(),
    };
    let args = args.build();
    let made = touched(device, ctx, &what, || {
        let made = device.key.make_credential_with_args(&args);
        made.map_err(|e| e.to_string())
    })?;
    let object = object(&made).map_err(|e| broken(e.to_string()))?;
    let attested = credential::attested(&object, &challenge, roots);
    let attested = attested.map_err(|e| broken(e.to_string()))?;
    let id = made.credential_descriptor.id;
    if attested.credential.id != id {
        return Err(broken("its attestation is of another key".to_owned()));
    }
    let credential = Credential {
        id,
        spki: attested.credential.spki.clone(),
        attestation: object,
        challenge,
    };
    Ok((credential, attested))
}

/// The attestation object (WebAuthn section 6.5.4), which the library has taken apart.
fn object(made: &Made) -> Result<Vec<u8>, ciborium::ser::Error<std::io::Error>> {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut statement = Vec::new();
    if made.fmt != "none" {
        statement.push((text("alg"), Value::from(made.attstmt_alg)));
        statement.push((text("sig"), Value::Bytes(made.attstmt_sig.clone())));
    }
    if !made.attstmt_x5c.is_empty() {
        let chain = made.attstmt_x5c.iter().cloned().map(Value::Bytes);
        statement.push((text("x5c"), Value::Array(chain.collect())));
    }
    let object = Value::Map(vec![
        (text("fmt"), text(&made.fmt)),
        (text("attStmt"), Value::Map(statement)),
        (text("authData"), Value::Bytes(made.auth_data.clone())),
    ]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&object, &mut bytes)?;
    Ok(bytes)
}
