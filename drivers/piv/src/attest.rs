//! Evidence of a key's origin: the card's certificate for it, with those that lead to the card's maker.

use std::path::Path;

use sealwright_driver_api::{
    Bytes, DriverError, Nonce, PivStatement, RawEvidence, Statement, TokenIdentity,
};
use sealwright_driver_host::pem_chain;
use x509_cert::der::Encode as _;
use yubikey::piv::SlotId;
use yubikey::{ObjectId, Version};

use crate::address::KIND;
use crate::card::Card;
use crate::certificate;
use crate::token::Shared;

/// The first firmware that attests.
pub(crate) const SINCE: Version = Version {
    major: 4,
    minor: 3,
    patch: 0,
};
/// Where a card keeps the certificate of its attestation key (slot F9).
const OWN_CERTIFICATE: ObjectId = 0x005f_ff01;

/// What the card says of the key in a slot. The nonce goes along, and the card does not sign it.
pub(crate) fn attest(
    card: &mut Card,
    slot: SlotId,
    shared: &Shared,
    nonce: &Nonce,
) -> Result<RawEvidence, DriverError> {
    let firmware = card.firmware();
    let key = card.key(slot)?;
    if firmware < SINCE || key.was_imported() {
        let why = if firmware < SINCE {
            format!("firmware {firmware} attests no keys")
        } else {
            "it was imported, and a card attests only what it made itself".to_owned()
        };
        let detail = format!("the key in slot {:02x}: {why}", u8::from(slot));
        return Err(DriverError::unsupported(detail));
    }
    let what = "reading its own certificate";
    let own = certificate::in_object(&card.object(what, OWN_CERTIFICATE)?)?;
    let mut device_chain = vec![Bytes(own)];
    device_chain.extend(shared.maker_chain.iter().cloned());
    Ok(RawEvidence {
        nonce: *nonce,
        token: TokenIdentity {
            kind: KIND.to_owned(),
            label: shared.address.label.clone(),
            serial: shared.address.serial.clone(),
            manufacturer: "Yubico".to_owned(),
            model: "YubiKey PIV".to_owned(),
            firmware: firmware.to_string(),
        },
        spki_der: key.spki_der,
        statement: Statement::PivAttestation(PivStatement {
            certificate: Bytes(card.attestation(slot)?),
            device_chain,
        }),
    })
}

/// Reads the certificates behind the card's own; none where no file is named.
pub(crate) fn maker_chain(file: Option<&Path>) -> Result<Vec<Bytes>, DriverError> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let chain = pem_chain("maker_chain", path)?;
    let ders = chain.iter().map(|one| one.to_der().map(Bytes));
    let ders: Result<_, _> = ders.collect();
    ders.map_err(|e| DriverError::config(format!("maker_chain {}: {e}", path.display())))
}
