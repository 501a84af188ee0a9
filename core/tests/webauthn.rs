//! What authenticators say of keys and messages, made here bit by bit to be wrong in one place.
#![allow(clippy::unwrap_used)]

use ciborium::{Value, cbor};
use der::Decode as _;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Envelope, Options, Pae, TrustedKey, encode_envelope};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::verify::{VerifyError, verify_message, verify_prehashed};
use sealwright_core::webauthn::{
    Assertion, AssertionError, Attestation, AttestationError, Makers, RP_ID, Vouching,
};
use x509_cert::Certificate;

const MODEL: [u8; 16] = [0xaa; 16];
const CHALLENGE: &[u8] = b"a challenge";
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const AT: u8 = 0x40;

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn spki() -> Vec<u8> {
    let key = *key().verifying_key();
    key.to_public_key_der().unwrap().into_vec()
}

fn data(rp_id: &str, flags: u8) -> Vec<u8> {
    let party = Sha256Digest::of(&[rp_id.as_bytes()]);
    [&party.0[..], &[flags], &[0, 0, 0, 9]].concat()
}

/// An assertion over `message`, in the form that envelopes carry.
fn assertion(authenticator_data: Vec<u8>, message: &[u8]) -> Vec<u8> {
    let signed = [&authenticator_data[..], &Sha256Digest::of(&[message]).0].concat();
    let signature: Signature = key().sign(&signed);
    let signature = signature.to_der().as_bytes().to_vec();
    let assertion = Assertion {
        authenticator_data,
        signature,
    };
    assertion.to_bytes().unwrap()
}

fn verify(scheme: Scheme, signature: &[u8]) -> Result<(), VerifyError> {
    verify_message(&spki(), scheme, &[b"a mes", b"sage"], signature)
}

const TOUCHED: Scheme = Scheme::WebAuthnP256Sha256;
const VERIFIED: Scheme = Scheme::WebAuthnP256Sha256Uv;

#[test]
fn an_assertion_is_a_signature_of_its_scheme_and_of_no_other() {
    let touched = assertion(data(RP_ID, UP), b"a message");
    verify(TOUCHED, &touched).unwrap();
    let refused = verify(VERIFIED, &touched);
    assert_eq!(
        refused,
        Err(VerifyError::Assertion(AssertionError::Verification))
    );
    let verified = assertion(data(RP_ID, UP | UV), b"a message");
    verify(VERIFIED, &verified).unwrap();
    verify(TOUCHED, &verified).unwrap();
    let plain = verify(Scheme::EcdsaP256Sha256, &verified);
    assert!(matches!(plain, Err(VerifyError::Encoding(_))), "{plain:?}");
}

#[test]
fn a_plain_signature_is_no_assertion() {
    let plain: Signature = key().sign(b"a message");
    let refused = verify(TOUCHED, plain.to_der().as_bytes());
    assert_eq!(refused, Err(VerifyError::Assertion(AssertionError::Form)));
}

#[test]
fn an_assertion_of_another_message_or_without_a_touch_is_refused() {
    let other = assertion(data(RP_ID, UP), b"another");
    assert_eq!(verify(TOUCHED, &other), Err(VerifyError::Mismatch));
    let silent = assertion(data(RP_ID, 0), b"a message");
    let refused = verify(TOUCHED, &silent);
    assert_eq!(
        refused,
        Err(VerifyError::Assertion(AssertionError::Presence))
    );
    let web = assertion(data("example.org", UP), b"a message");
    let refused = verify(TOUCHED, &web);
    let wanted = AssertionError::RelyingParty(RP_ID.to_owned());
    assert_eq!(refused, Err(VerifyError::Assertion(wanted)));
}

#[test]
fn flags_that_were_set_afterwards_do_not_verify() {
    let silent = assertion(data(RP_ID, 0), b"a message");
    let mut touched = Assertion::from_bytes(&silent).unwrap();
    touched.authenticator_data[32] |= UP;
    let refused = verify(TOUCHED, &touched.to_bytes().unwrap());
    assert_eq!(refused, Err(VerifyError::Mismatch));
}

#[test]
fn a_digest_does_not_stand_for_the_message() {
    let signature = assertion(data(RP_ID, UP), b"a message");
    let digest = Sha256Digest::of(&[b"a message"]).0;
    let refused = verify_prehashed(&spki(), TOUCHED, &digest, &signature);
    assert_eq!(refused, Err(VerifyError::NeedsMessage));
}

#[test]
fn an_envelope_with_an_assertion_verifies_only_for_who_trusts_the_scheme() {
    let pae = Pae {
        payload_type: "text/plain",
        payload: b"hello",
    };
    let message = [&pae.prefix()[..], b"hello"].concat();
    let signature = assertion(data(RP_ID, UP), &message);
    let spki = Spki::from_der(spki());
    let keyid = spki.keyid();
    let bytes = encode_envelope("text/plain", b"hello", &[(&keyid, &signature)]);
    for (scheme, counts) in [(TOUCHED, 1), (VERIFIED, 0), (Scheme::EcdsaP256Sha256, 0)] {
        let trusted = [TrustedKey::new(spki.clone(), scheme).unwrap()];
        let verified = Envelope::parse(&bytes)
            .unwrap()
            .verify(&trusted, 1, Options::default());
        assert_eq!(verified.map_or(0, |v| v.signers.len()), counts, "{scheme}");
    }
}

/// A maker of authenticators, and the certificate of one of its models.
struct Maker {
    root: Certificate,
    leaf: KeyPair,
    certificate: Vec<u8>,
}

struct Leaf {
    unit: &'static str,
    is_ca: IsCa,
    model: [u8; 16],
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            unit: "Authenticator Attestation",
            is_ca: IsCa::ExplicitNoCa,
            model: MODEL,
        }
    }
}

impl Maker {
    fn of(leaf: Leaf) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.distinguished_name.push(DnType::CommonName, "maker");
        let root_der = root.self_signed(&root_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, leaf.unit);
        params.is_ca = leaf.is_ca;
        let model = [&[0x04, 0x10], &leaf.model[..]].concat();
        let oid = [1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&oid, model));
        let signed = params
            .signed_by(&key, &Issuer::from_params(&root, &root_key))
            .unwrap();
        Self {
            root: Certificate::from_der(root_der.der()).unwrap(),
            leaf: key,
            certificate: signed.der().to_vec(),
        }
    }

    fn signs(&self) -> SigningKey {
        SigningKey::from_pkcs8_der(self.leaf.serialized_der()).unwrap()
    }
}

fn registration_data() -> Vec<u8> {
    let point = key().verifying_key().to_sec1_point(false);
    let cose = cbor!({
        1 => 2, 3 => -7, -1 => 1,
        -2 => Value::Bytes(point.x().unwrap().to_vec()),
        -3 => Value::Bytes(point.y().unwrap().to_vec()),
    });
    let mut cose_bytes = Vec::new();
    ciborium::into_writer(&cose.unwrap(), &mut cose_bytes).unwrap();
    let credential = [&MODEL[..], &[0, 3], b"id!", &cose_bytes].concat();
    [data(RP_ID, UP | AT), credential].concat()
}

/// A packed attestation object signed by `by`, with `x5c` where there is one.
fn object(by: &SigningKey, x5c: Option<Vec<Vec<u8>>>) -> Vec<u8> {
    let data = registration_data();
    let signed = [&data[..], &Sha256Digest::of(&[CHALLENGE]).0].concat();
    let signature: Signature = by.sign(&signed);
    let text = |text: &str| Value::Text(text.to_owned());
    let mut statement = vec![
        (text("alg"), Value::from(-7)),
        (
            text("sig"),
            Value::Bytes(signature.to_der().as_bytes().to_vec()),
        ),
    ];
    if let Some(x5c) = x5c {
        let list = x5c.into_iter().map(Value::Bytes).collect();
        statement.push((text("x5c"), Value::Array(list)));
    }
    let object = Value::Map(vec![
        (text("fmt"), text("packed")),
        (text("attStmt"), Value::Map(statement)),
        (text("authData"), Value::Bytes(data)),
    ]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&object, &mut bytes).unwrap();
    bytes
}

fn attest(object: &[u8], roots: &[Certificate]) -> Result<Vouching, AttestationError> {
    let now = "2026-11-25T00:00:00.000Z".parse().unwrap();
    let verified = Attestation::verify(object, CHALLENGE, RP_ID, Makers { roots, now })?;
    assert_eq!(verified.credential.spki.der(), spki());
    assert_eq!(verified.credential.id, b"id!");
    Ok(verified.by)
}

fn attest_by(leaf: Leaf) -> Result<Vouching, AttestationError> {
    let maker = Maker::of(leaf);
    let object = object(&maker.signs(), Some(vec![maker.certificate.clone()]));
    attest(&object, &[maker.root])
}

#[test]
fn a_maker_vouches_by_a_chain_to_its_root() {
    assert_eq!(attest_by(Leaf::default()), Ok(Vouching::Maker));
}

#[test]
fn a_maker_whom_nobody_knows_is_no_maker() {
    let (maker, other) = (Maker::of(Leaf::default()), Maker::of(Leaf::default()));
    let object = object(&maker.signs(), Some(vec![maker.certificate.clone()]));
    assert_eq!(attest(&object, &[other.root]), Ok(Vouching::UnknownMaker));
    assert_eq!(attest(&object, &[]), Ok(Vouching::UnknownMaker));
}

#[test]
fn a_certificate_that_is_not_for_attestation_or_for_another_model_is_refused() {
    let other_unit = Leaf {
        unit: "Sales",
        ..Leaf::default()
    };
    let is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = Leaf {
        is_ca,
        ..Leaf::default()
    };
    let silent = Leaf {
        is_ca: IsCa::NoCa,
        ..Leaf::default()
    };
    let other_model = Leaf {
        model: [0xbb; 16],
        ..Leaf::default()
    };
    for leaf in [other_unit, authority, silent, other_model] {
        let refused = attest_by(leaf);
        let is_certificate = matches!(refused, Err(AttestationError::Certificate(_)));
        assert!(is_certificate, "{refused:?}");
    }
}

#[test]
fn a_key_vouches_for_itself_with_its_own_signature_only() {
    assert_eq!(attest(&object(&key(), None), &[]), Ok(Vouching::Itself));
    let other = SigningKey::from_slice(&[8; 32]).unwrap();
    let refused = attest(&object(&other, None), &[]);
    assert_eq!(
        refused,
        Err(AttestationError::Signature(VerifyError::Mismatch))
    );
}

#[test]
fn an_empty_list_of_certificates_is_neither_form() {
    let refused = attest(&object(&key(), Some(Vec::new())), &[]);
    let is_statement = matches!(refused, Err(AttestationError::Statement(_)));
    assert!(is_statement, "{refused:?}");
}

#[test]
fn what_follows_an_attestation_object_and_what_is_too_long_is_refused() {
    let whole = object(&key(), None);
    let more = [&whole[..], &[0]].concat();
    for bytes in [
        more,
        whole[..whole.len() - 1].to_vec(),
        vec![0xa0; 33 << 10],
    ] {
        assert_eq!(attest(&bytes, &[]), Err(AttestationError::Object));
    }
}

#[test]
fn an_answer_to_another_challenge_is_refused() {
    let now = "2026-11-25T00:00:00.000Z".parse().unwrap();
    let makers = Makers { roots: &[], now };
    let object = object(&key(), None);
    let refused = Attestation::verify(&object, b"another", RP_ID, makers);
    assert_eq!(
        refused,
        Err(AttestationError::Signature(VerifyError::Mismatch))
    );
    let refused = Attestation::verify(&object, CHALLENGE, "example.org", makers);
    let wanted = AttestationError::RelyingParty("example.org".to_owned());
    assert_eq!(refused, Err(wanted));
}
