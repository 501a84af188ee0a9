//! Destroying a key: the private object first, then what else goes by its CKA_ID.

use cryptoki::object::{Attribute, ObjectClass};
use sealwright_driver_api::{DriverError, KeyUri, Sha256Digest};

use crate::address::Address;
use crate::describe::spki_of;
use crate::fault::Fault;
use crate::find::{attribute, find, search};
use crate::pool::Lease;

/// Destroys the one private key at an address, if its fingerprint is this. A crash after the private object leaves its
/// public one, which signs nothing and stands in nobody's way.
pub(crate) fn destroy(
    lease: &mut Lease<'_>,
    uri: &KeyUri,
    address: &Address,
    spki_sha256: &Sha256Digest,
) -> Result<(), Fault> {
    let key = find(lease, uri, address)?;
    let id = attribute!(&lease.seat.session, key.handle, Id)?.filter(|id| !id.is_empty());
    let spki = spki_of(&lease.seat.session, uri, &key, id.as_deref())?;
    if Sha256Digest::of(&[&spki]) != *spki_sha256 {
        return Err(Fault::hopeless(DriverError::bad_request(format!(
            "key {uri} on token {} is another one than the one to be destroyed",
            lease.connector().label
        ))));
    }
    lease.seat.keys.remove(uri);
    // Objects are removed in a session that may write. Handles of token objects hold in all sessions of a process.
    let session = lease.connector().open_rw_session(lease.slot)?;
    let failed = |error| Fault::of("destroying a key", &error);
    session.destroy_object(key.handle).map_err(failed)?;
    let Some(id) = id else {
        return Ok(());
    };
    // Another private key of this id may still need the public one.
    let with_id = |class| [Attribute::Class(class), Attribute::Id(id.clone())];
    if search(&session, &with_id(ObjectClass::PRIVATE_KEY))?.is_empty() {
        for public in search(&session, &with_id(ObjectClass::PUBLIC_KEY))? {
            session.destroy_object(public).map_err(failed)?;
        }
    }
    Ok(())
}
