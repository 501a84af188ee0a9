use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA512, PublicKeyData as _, RsaKeySize,
};

use super::*;
use crate::evidence::{Document, Nonce, Statement, TokenIdentity};

const SERIAL: u64 = 12_345_678;

/// A certificate with its key.
struct Party {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Party {
    /// An authority that issued itself.
    fn root(key: KeyPair, below: u8) -> Self {
        let params = params("Maker's root", Some(below));
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { params, key, der }
    }

    fn authority(&self, name: &str, below: u8) -> Self {
        self.issue(params(name, Some(below)))
    }

    /// A card's word for a key in one of its slots.
    fn attest(&self) -> Self {
        self.attest_with(&[
            (3, vec![5, 7, 4]),
            (7, vec![0x02, 0x04, 0x00, 0xbc, 0x61, 0x4e]),
            (8, vec![3, 1]),
            (9, vec![1]),
        ])
    }

    fn attest_with(&self, facts: &[(u64, Vec<u8>)]) -> Self {
        let mut params = params("YubiKey PIV Attestation 9c", None);
        let facts = facts.iter().map(|(fact, value)| {
            let id = [1, 3, 6, 1, 4, 1, 41482, 3, *fact];
            CustomExtension::from_oid_content(&id, value.clone())
        });
        params.custom_extensions = facts.collect();
        self.issue(params)
    }
}

/// With room for so many authorities below; `None`: no authority.
fn params(name: &str, below: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(below) = below {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    }
    params
}

fn root() -> Party {
    Party::root(KeyPair::generate().unwrap(), 3)
}

fn card(maker: &Party) -> Party {
    maker.authority("Yubico PIV Attestation", 0)
}

fn trusting(roots: &[&Party]) -> Roots {
    let ders: Vec<&[u8]> = roots.iter().map(|root| &root.der[..]).collect();
    Roots::new(&ders).unwrap()
}

fn document(key: &Party, chain: &[&Party]) -> Document {
    let text = |text: &str| text.to_owned();
    let token = TokenIdentity {
        kind: text("piv"),
        label: text("key"),
        serial: SERIAL.to_string(),
        manufacturer: text("Yubico"),
        model: text("YubiKey PIV"),
        firmware: text("5.7.4"),
    };
    let statement = PivStatement {
        certificate: Bytes(key.der.clone()),
        device_chain: chain.iter().map(|party| Bytes(party.der.clone())).collect(),
    };
    let spki = Spki::from_der(key.key.subject_public_key_info());
    let uri = "piv:slot=9c".parse().unwrap();
    Document::new(
        Nonce::default(),
        token,
        uri,
        spki,
        Statement::PivAttestation(statement),
    )
}

fn judged(key: &Party, chain: &[&Party], roots: &[&Party]) -> Result<Finding, EvidenceError> {
    let document = document(key, chain);
    document.verify(document.spki.sha256(), None, &trusting(roots))
}

const ATTESTED: Finding = Finding {
    grade: EvidenceGrade::Attested,
    origin: Origin::Generated,
    exclusive: Exclusive::Proven,
};

#[test]
fn a_key_attested_by_a_card_of_a_trusted_maker_is_nowhere_else() {
    let root = root();
    let card = card(&root);
    let key = card.attest();
    assert_eq!(judged(&key, &[&card], &[&root]), Ok(ATTESTED));
    let bytes = document(&key, &[&card]).to_bytes().unwrap();
    assert_eq!(Document::parse(&bytes), Ok(document(&key, &[&card])));
}

/// Since firmware 5.7.4: an RSA root that signs with SHA-512, and two authorities between it and the card.
#[test]
fn a_newer_maker_has_authorities_between_its_root_and_a_card() {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, RsaKeySize::_2048);
    let root = Party::root(rsa.unwrap(), 3);
    let middle = root.authority("Intermediate A 1", 2);
    let piv = middle.authority("PIV Attestation A 1", 1);
    let card = card(&piv);
    let key = card.attest();
    assert_eq!(
        judged(&key, &[&card, &piv, &middle], &[&root]),
        Ok(ATTESTED)
    );
    // Whoever trusts the last authority itself needs no others.
    assert_eq!(judged(&key, &[&card], &[&piv]), Ok(ATTESTED));
    let cut = judged(&key, &[&card, &piv], &[&root]);
    assert!(
        matches!(cut, Err(EvidenceError::UntrustedDevice { issuer }) if issuer.contains("Intermediate"))
    );
    let mixed = judged(&key, &[&card, &middle, &piv], &[&root]);
    assert_eq!(mixed, Err(EvidenceError::BrokenChain(1)));
}

#[test]
fn another_maker_and_no_maker_are_told_apart() {
    let root = root();
    let card = card(&root);
    let key = card.attest();
    let other = Party::root(KeyPair::generate().unwrap(), 3);
    let refused = judged(&key, &[&card], &[&other]).unwrap_err();
    assert!(matches!(refused, EvidenceError::UntrustedDevice { .. }));
    assert!(refused.is_about_trust());
    assert_eq!(judged(&key, &[&card], &[]), Err(EvidenceError::NoRoots));
}

#[test]
fn an_attestation_by_another_card_is_refused() {
    let root = root();
    let (card, other) = (card(&root), card(&root));
    let key = other.attest();
    assert_eq!(
        judged(&key, &[&card], &[&root]),
        Err(EvidenceError::NotSigned)
    );
}

#[test]
fn the_serial_number_in_the_attestation_is_the_tokens() {
    let root = root();
    let card = card(&root);
    let other = card.attest_with(&[(7, vec![0x02, 0x01, 0x05])]);
    let refused = EvidenceError::OtherDevice {
        wanted: SERIAL.to_string(),
        found: "5".to_owned(),
    };
    assert_eq!(judged(&other, &[&card], &[&root]), Err(refused));
    // Firmware 4 does not tell it.
    let old = card.attest_with(&[(3, vec![4, 3, 7]), (8, vec![2, 1])]);
    assert_eq!(judged(&old, &[&card], &[&root]), Ok(ATTESTED));
}

/// A key in a slot signs what its owner likes, and its own attestation leads to the maker.
#[test]
fn a_key_attested_by_a_key_in_a_slot_is_refused() {
    let root = root();
    let card = card(&root);
    let slot = card.attest();
    let forged = slot.attest();
    let refused = judged(&forged, &[&slot, &card], &[&root]);
    assert_eq!(refused, Err(EvidenceError::OrdinaryKey));
    // Also where somebody trusts the card itself.
    let refused = judged(&forged, &[&slot], &[&card]);
    assert_eq!(refused, Err(EvidenceError::OrdinaryKey));
    // Without the mark of a slot's key it still is no authority, and the card may not have one below it.
    let plain = card.issue(params("Yubico PIV Attestation", None));
    let refused = judged(&plain.attest(), &[&plain, &card], &[&root]);
    assert_eq!(refused, Err(EvidenceError::BrokenChain(1)));
    let below = card.authority("Yubico PIV Attestation", 0);
    let refused = judged(&below.attest(), &[&below, &card], &[&root]);
    assert_eq!(refused, Err(EvidenceError::BrokenChain(2)));
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let root = root();
    let card = card(&root);
    let (key, other) = (card.attest(), card.attest());
    let mut document = document(&key, &[&card]);
    document.spki = Spki::from_der(other.key.subject_public_key_info());
    let (wanted, found) = (
        document.spki.sha256(),
        Spki::from_der(key.key.subject_public_key_info()).sha256(),
    );
    let refused = document.verify(wanted, None, &trusting(&[&root]));
    assert_eq!(refused, Err(EvidenceError::OtherKey { wanted, found }));
}

#[test]
fn too_many_certificates_none_and_other_bytes_are_malformed() {
    let root = root();
    let card = card(&root);
    let key = card.attest();
    let malformed = |chain: &[&Party]| {
        let refused = judged(&key, chain, &[&root]);
        assert!(
            matches!(refused, Err(EvidenceError::Malformed(_))),
            "{refused:?}"
        );
    };
    malformed(&[]);
    malformed(&[&card; CHAIN_MAX + 1]);
    let broken = Party {
        der: b"0".to_vec(),
        ..root.authority("Yubico PIV Attestation", 0)
    };
    malformed(&[&broken]);
}

#[test]
fn facts_of_another_form_are_malformed_and_absent_ones_unknown() {
    let card = card(&root());
    let of = |facts: &[(u64, Vec<u8>)]| {
        PivFacts::of(&Certificate::from_der(&card.attest_with(facts).der).unwrap())
    };
    for (fact, value) in [
        (3, vec![5, 7]),
        (7, vec![5, 7]),
        (7, vec![0x02, 0x00]),
        (7, [&[0x02, 0x09][..], &[1; 9]].concat()),
        (8, vec![1]),
        (9, vec![]),
    ] {
        let refused = of(&[(fact, value)]);
        assert!(
            matches!(refused, Err(EvidenceError::Malformed(_))),
            "{fact}"
        );
    }
    let padded = of(&[(7, vec![0x02, 0x05, 0, 0, 0, 1, 2])]).unwrap();
    assert_eq!(padded.serial, Some(0x102));
    let none = of(&[]).unwrap();
    assert_eq!((none.serial, none.pin_policy()), (None, "unknown"));
    let some = of(&[(8, vec![3, 2])]).unwrap();
    assert_eq!(
        (some.pin_policy(), some.touch_policy()),
        ("always", "always")
    );
}
