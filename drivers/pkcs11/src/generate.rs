//! Making a key that cannot leave the token.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::Session;
use sealwright_driver_api::{DriverError, KeySpec};
use sha2::{Digest as _, Sha256};

use crate::address::Address;
use crate::fault::Fault;
use crate::find::search;
use crate::kind::KeyKind;
use crate::pool::Lease;
use crate::spki::RSA_BITS;

/// Bytes of a CKA_ID that this driver makes.
const ID_LEN: usize = 20;
/// The public exponent 65537 of every RSA key made here.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// What to make, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) label: Vec<u8>,
    /// CKA_ID, where the URI gives one.
    pub(crate) id: Option<Vec<u8>>,
    kind: KeyKind,
    rsa_bits: u16,
}

impl Plan {
    /// Refuses a key without a label, with an empty id, or with a modulus length that is not served.
    pub(crate) fn new(spec: &KeySpec, address: Address) -> Result<Self, DriverError> {
        let bad = |why: String| DriverError::bad_request(format!("key {}: {why}", spec.uri));
        let kind = KeyKind::for_scheme(spec.scheme);
        let kind = kind.ok_or_else(|| bad(format!("no PKCS#11 key signs {}", spec.scheme)))?;
        if kind == KeyKind::Rsa && !RSA_BITS.contains(&usize::from(spec.rsa_bits)) {
            return Err(bad(format!(
                "rsa_bits is {}; use 2048, 3072 or 4096",
                spec.rsa_bits
            )));
        }
        if address.id.as_ref().is_some_and(Vec::is_empty) {
            return Err(bad("id is empty; leave it out and one is made".to_owned()));
        }
        match address.label.filter(|label| !label.is_empty()) {
            Some(label) => Ok(Self {
                label,
                id: address.id,
                kind,
                rsa_bits: spec.rsa_bits,
            }),
            None => Err(bad(
                "names no object, which becomes the new key's label".to_owned()
            )),
        }
    }
}

/// Refuses if any key on the token has the label or the id already, whether both match or one: either would
/// make some address ambiguous.
pub(crate) fn check_free(lease: &Lease<'_>, plan: &Plan) -> Result<(), Fault> {
    let session = &lease.seat.session;
    let by_label = Some(Address {
        label: Some(plan.label.clone()),
        id: None,
    });
    let by_id = plan.id.clone().map(|id| Address {
        label: None,
        id: Some(id),
    });
    for address in by_label.into_iter().chain(by_id) {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            if !search(session, &address.template(class))?.is_empty() {
                let taken = if address.id.is_some() { "id" } else { "object" };
                return Err(Fault::hopeless(DriverError::bad_request(format!(
                    "token {} has a key with this {taken} already; choose another",
                    lease.connector().label
                ))));
            }
        }
    }
    // Nothing found is no proof while the token may be gone.
    lease.check_token().map(|_| ())
}

/// Makes the pair and returns its address. Never retried: after an error the pair may exist.
pub(crate) fn generate(lease: &Lease<'_>, plan: &Plan) -> Result<Address, Fault> {
    let session = lease.connector().open_rw_session(lease.slot)?;
    let id = match &plan.id {
        Some(id) => id.clone(),
        None => fresh_id(&session, &plan.label)?,
    };
    session
        .generate_key_pair(
            &mechanism(plan.kind),
            &public_template(plan, &id),
            &private_template(plan, &id),
        )
        .map_err(|error| {
            Fault::of(
                "making a key; look at the token before trying again",
                &error,
            )
        })?;
    Ok(Address {
        label: Some(plan.label.clone()),
        id: Some(id),
    })
}

/// Random, so that a label used again after its key was destroyed does not meet the old certificate.
fn fresh_id(session: &Session, label: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut random = [0; 32];
    session
        .generate_random_slice(&mut random)
        .map_err(|error| Fault::of("asking the token for random bytes", &error))?;
    let hash = Sha256::new()
        .chain_update(random)
        .chain_update(label)
        .finalize();
    Ok(hash[..ID_LEN].to_vec())
}

fn mechanism(kind: KeyKind) -> Mechanism<'static> {
    match kind {
        KeyKind::P256 | KeyKind::P384 => Mechanism::EccKeyPairGen,
        KeyKind::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
        KeyKind::Rsa => Mechanism::RsaPkcsKeyPairGen,
    }
}

fn private_template(plan: &Plan, id: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Label(plan.label.clone()),
        Attribute::Id(id.to_vec()),
    ]
}

fn public_template(plan: &Plan, id: &[u8]) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::Label(plan.label.clone()),
        Attribute::Id(id.to_vec()),
    ];
    match plan.kind.ec_params() {
        Some(params) => template.push(Attribute::EcParams(params)),
        None => {
            template.push(Attribute::ModulusBits(u64::from(plan.rsa_bits).into()));
            template.push(Attribute::PublicExponent(RSA_EXPONENT.to_vec()));
        }
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwright_driver_api::Scheme;

    fn plan(uri: &str, scheme: Scheme, rsa_bits: u16) -> Result<Plan, String> {
        let spec = KeySpec {
            uri: uri.parse().unwrap(),
            scheme,
            rsa_bits,
        };
        let address = Address::parse(&spec.uri, "t", "s").unwrap();
        Plan::new(&spec, address).map_err(|e| e.to_string())
    }

    #[test]
    fn a_new_key_has_a_label() {
        let error = plan("pkcs11:id=%01", Scheme::Ed25519, 0).unwrap_err();
        assert!(error.contains("names no object"), "{error}");
        assert!(
            plan("pkcs11:object=a;id=", Scheme::Ed25519, 0)
                .unwrap_err()
                .contains("id is empty")
        );
    }

    #[test]
    fn only_rsa_lengths_that_are_served_are_made() {
        for bits in [0, 1024, 2047, 8192] {
            let error = plan("pkcs11:object=a", Scheme::RsaPssSha256, bits).unwrap_err();
            assert!(error.contains("2048, 3072 or 4096"), "{error}");
        }
        assert!(plan("pkcs11:object=a", Scheme::RsaPkcs1Sha256, 2048).is_ok());
        assert!(plan("pkcs11:object=a", Scheme::EcdsaP256Sha256, 0).is_ok());
    }

    #[test]
    fn a_new_key_signs_and_does_nothing_else() {
        let plan = plan("pkcs11:object=a", Scheme::EcdsaP256Sha256, 0).unwrap();
        let template = private_template(&plan, &[1]);
        let wanted = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ];
        assert!(
            wanted.iter().all(|attribute| template.contains(attribute)),
            "{template:?}"
        );
    }
}
