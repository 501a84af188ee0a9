//! `approve`: signs an approver's word with a key of this token, for an approver who has it at his own machine.
//!
//! It signs approvals of dual control and nothing else. Whoever may use a token can sign with it by its maker's tools; this
//! is no way around the daemon's record that was not there.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::approval::{FILE_MAX, read_statement};
use sealwright_core::dsse::Pae;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::verify::encode_raw;
use sealwright_driver_api::wire::Answer;
use sealwright_driver_api::{
    DriverError, KeyUri, Scheme, SignInput, SignRequest, Signature, Task, Token,
};
use serde::Serialize;

use crate::HostError;
use crate::admin::ask;

/// What is printed.
#[derive(Serialize)]
pub(crate) struct Approved {
    scheme: Scheme,
    /// As a DSSE envelope carries it: base64.
    signature: String,
}

/// Reads the statement from standard input and signs it.
pub(crate) fn run(token: &dyn Token, uri: KeyUri) -> Result<Approved, HostError> {
    let mut statement = Vec::new();
    let input = std::io::stdin().lock();
    input
        .take(FILE_MAX as u64)
        .read_to_end(&mut statement)
        .map_err(refused)?;
    read_statement(&statement).map_err(refused)?;
    let Answer::Key(key) = ask(token, &Task::Describe(uri.clone()))? else {
        return Err(refused("the driver describes no key").into());
    };
    let scheme = key.schemes.first().copied();
    let scheme = scheme.ok_or_else(|| refused("the key signs nothing"))?;
    let pae = Pae {
        payload_type: PAYLOAD_TYPE,
        payload: &statement,
    };
    let request = SignRequest {
        key: uri,
        scheme,
        input: SignInput::of(scheme, &[&pae.prefix(), pae.payload]),
    };
    let signature = match ask(token, &Task::Sign(request))? {
        Answer::Signature(Signature::Raw(raw)) => encode_raw(scheme, raw).map_err(refused)?,
        Answer::Signature(Signature::WebAuthn(assertion)) => {
            assertion.to_bytes().map_err(refused)?
        }
        _ => return Err(refused("the driver gave no signature").into()),
    };
    Ok(Approved {
        scheme,
        signature: STANDARD.encode(signature),
    })
}

fn refused(why: impl std::fmt::Display) -> DriverError {
    DriverError::bad_request(why.to_string())
}
