//! Evidence of a key's origin: the module's claims, with the identity of its token.

use sealwright_driver_api::{KeyUri, Nonce, RawEvidence, Statement, TokenIdentity};

use crate::KIND;
use crate::address::Address;
use crate::describe::{read_claims, spki_of};
use crate::fault::Fault;
use crate::find::{attribute, find};
use crate::pool::Lease;

/// Public key and claims are read from one key that is found once, so they are of the same key.
pub(crate) fn attest(
    lease: &Lease<'_>,
    uri: &KeyUri,
    address: &Address,
    nonce: &Nonce,
) -> Result<RawEvidence, Fault> {
    let info = lease.check_token()?;
    let key = find(lease, uri, address)?;
    let session = &lease.seat.session;
    let id = attribute!(session, key.handle, Id)?.filter(|id| !id.is_empty());
    let connector = lease.connector();
    Ok(RawEvidence {
        nonce: *nonce,
        token: TokenIdentity {
            kind: KIND.to_owned(),
            label: connector.label.clone(),
            serial: connector.serial.clone(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            firmware: info.firmware_version().to_string(),
        },
        spki_der: spki_of(session, uri, &key, id.as_deref())?,
        statement: Statement::Pkcs11Claims(read_claims(session, key.handle)?),
    })
}
