//! Objects on the token: search, attributes, and the one private key an address means.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use sealwright_driver_api::{DriverError, ErrorClass, KeyUri};

use crate::address::Address;
use crate::fault::Fault;
use crate::kind::KeyKind;
use crate::pool::Lease;

/// A private key that can sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) handle: ObjectHandle,
    pub(crate) kind: KeyKind,
}

/// The value of one attribute, `None` where the object has none or does not give it out.
///
/// Asked one at a time: in a list, unavailable ones are left out silently, and one whose value cryptoki does
/// not know (CKA_KEY_GEN_MECHANISM of an imported key) fails them all.
macro_rules! attribute {
    ($session:expr, $object:expr, $name:ident) => {
        $crate::find::value(
            $session,
            $object,
            ::cryptoki::object::AttributeType::$name,
            |value| match value {
                ::cryptoki::object::Attribute::$name(value) => Some(value),
                _ => None,
            },
        )
    };
}
pub(crate) use attribute;

pub(crate) fn value<T>(
    session: &Session,
    object: ObjectHandle,
    name: AttributeType,
    pick: impl Fn(Attribute) -> Option<T>,
) -> Result<Option<T>, Fault> {
    match session.get_attributes(object, &[name]) {
        Ok(values) => Ok(values.into_iter().find_map(pick)),
        Err(Error::NotSupported) => Ok(None),
        Err(error) => Err(Fault::of(&format!("reading {name:?} of a key"), &error)),
    }
}

/// All objects that match.
pub(crate) fn search(
    session: &Session,
    template: &[Attribute],
) -> Result<Vec<ObjectHandle>, Fault> {
    session
        .find_objects(template)
        .map_err(|error| Fault::of("searching for a key", &error))
}

/// The key at an address, from the lease's cache or from the token.
pub(crate) fn resolve(
    lease: &mut Lease<'_>,
    uri: &KeyUri,
    address: &Address,
) -> Result<Key, Fault> {
    if let Some(key) = lease.seat.keys.get(uri) {
        return Ok(*key);
    }
    let key = find(lease, uri, address)?;
    lease.seat.keys.insert(uri.clone(), key);
    Ok(key)
}

/// Finds exactly one private key that can sign.
pub(crate) fn find(lease: &Lease<'_>, uri: &KeyUri, address: &Address) -> Result<Key, Fault> {
    let session = &lease.seat.session;
    let handle = match search(session, &address.template(ObjectClass::PRIVATE_KEY))?.as_slice() {
        [one] => *one,
        // A token that is gone finds nothing and reports no error, so it has to answer for itself.
        [] => {
            lease.check_token()?;
            return refuse(
                ErrorClass::KeyMissing,
                uri,
                lease,
                "no private key matches it",
            );
        }
        more => {
            let why = format!("{} private keys match it; add object or id", more.len());
            return refuse(ErrorClass::KeyAmbiguous, uri, lease, &why);
        }
    };
    if attribute!(session, handle, Sign)? == Some(false) {
        return refuse(ErrorClass::Unsupported, uri, lease, "CKA_SIGN is false");
    }
    if attribute!(session, handle, AlwaysAuthenticate)? == Some(true) {
        let why =
            "CKA_ALWAYS_AUTHENTICATE asks for the PIN at every signature; make a key without it";
        return refuse(ErrorClass::Unsupported, uri, lease, why);
    }
    match kind_of(session, handle)? {
        Ok(kind) => Ok(Key { handle, kind }),
        Err(why) => refuse(ErrorClass::Unsupported, uri, lease, &why),
    }
}

fn kind_of(session: &Session, handle: ObjectHandle) -> Result<Result<KeyKind, String>, Fault> {
    let Some(key_type) = attribute!(session, handle, KeyType)? else {
        return Ok(Err("is of a type this driver does not know".to_owned()));
    };
    let params = attribute!(session, handle, EcParams)?;
    Ok(KeyKind::of(key_type, params.as_deref()))
}

fn refuse<T>(class: ErrorClass, uri: &KeyUri, lease: &Lease<'_>, why: &str) -> Result<T, Fault> {
    let detail = format!("key {uri} on token {}: {why}", lease.connector().label);
    Err(Fault::hopeless(DriverError::new(class, "", detail)))
}
