//! Evidence of a key's origin: the real driver against software TPMs of a maker, judged by the verifier of `core`.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use sealwright_core::evidence::{
    Challenge, Document, EvidenceError, Exclusive, Finding, Nonce, Origin, Roots, Statement,
    TpmStatement,
};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_driver_api::{DriverError, ErrorClass, EvidenceGrade, KeyDriver, KeyUri};
use sealwright_softhsm_tests::swtpm::{Swtpm, TpmMaker};
use support::{Host, describe, generate, sign_and_verify};

const NONCE: Nonce = sealwright_core::digest::Sha256Digest([7; 32]);
/// What a challenger keeps to himself; a test may know it.
const ENTROPY: [u8; 96] = [9; 96];

/// A TPM with a key, and its driver's worker.
struct Station {
    worker: Box<dyn KeyDriver>,
    _tpm: Swtpm,
    _host: Host,
}

impl Station {
    fn by(maker: &TpmMaker) -> Self {
        let tpm = Swtpm::made_by(maker);
        let host = Host::of(&tpm);
        let mut worker = host.worker();
        generate(&mut *worker, "release", Scheme::EcdsaP256Sha256, 0).unwrap();
        Self {
            worker,
            _tpm: tpm,
            _host: host,
        }
    }

    fn attest(&mut self) -> Document {
        let uri: KeyUri = "tpm2:object=release".parse().unwrap();
        let attester = self.worker.attester().unwrap();
        let raw = attester.attest(&uri, &NONCE).unwrap();
        let spki = Spki::from_der(raw.spki_der);
        Document::new(raw.nonce, raw.token, uri, spki, raw.statement)
    }

    fn activate(&mut self, challenge: &Challenge) -> Result<Vec<u8>, DriverError> {
        self.worker.attester().unwrap().activate(challenge)
    }
}

fn roots(maker: &TpmMaker) -> Roots {
    let pem = fs::read(maker.roots()).unwrap();
    let (_, der) = der::pem::decode_vec(&pem).unwrap();
    Roots::new(&[der]).unwrap()
}

fn judge(document: &Document, roots: &Roots) -> Result<Finding, EvidenceError> {
    document.verify(document.spki.sha256(), Some(NONCE), roots)
}

/// With another statement, as a driver that lies would put it together.
fn forged(document: &Document, change: impl Fn(&mut TpmStatement)) -> Document {
    let Statement::Tpm2Certify(statement) = &document.statement else {
        panic!("a TPM certifies")
    };
    let mut statement = statement.clone();
    change(&mut statement);
    let statement = Statement::Tpm2Certify(statement);
    Document::new(
        document.nonce,
        document.token.clone(),
        document.uri.clone(),
        document.spki.clone(),
        statement,
    )
}

fn statement(document: &Document) -> &TpmStatement {
    match &document.statement {
        Statement::Tpm2Certify(statement) => statement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_made_in_the_tpm_is_attested_and_the_challenge_is_answered() {
    let maker = TpmMaker::new();
    let mut station = Station::by(&maker);
    let document = station.attest();
    let attested = Finding {
        grade: EvidenceGrade::Attested,
        origin: Origin::Generated,
        exclusive: Exclusive::Proven,
    };
    assert_eq!(judge(&document, &roots(&maker)), Ok(attested));
    let activation = document.activation(ENTROPY).unwrap().unwrap();
    let answer = station.activate(&activation.challenge).unwrap();
    assert_eq!(activation.check(&answer), Ok(()));
    assert_eq!(activation.check(&answer[1..]), Err(EvidenceError::OtherTpm));
    // The slots that it took are free again.
    let key = describe(&mut *station.worker, "release").unwrap();
    sign_and_verify(&mut *station.worker, &key);
    let read = Document::parse(&document.to_bytes().unwrap()).unwrap();
    assert_eq!(judge(&read, &roots(&maker)), Ok(attested));
}

#[test]
fn evidence_of_a_tpm_whose_maker_is_not_trusted_is_refused() {
    let (maker, other) = (TpmMaker::new(), TpmMaker::new());
    let document = Station::by(&maker).attest();
    Station::by(&other);
    let nobody = judge(&document, &Roots::default());
    assert_eq!(nobody, Err(EvidenceError::NoRoots));
    let refused = judge(&document, &roots(&other)).unwrap_err();
    assert!(
        matches!(refused, EvidenceError::UntrustedDevice { .. }),
        "{refused}"
    );
    assert!(refused.is_about_trust());
}

#[test]
fn evidence_with_another_tpms_certificate_cannot_answer_the_challenge() {
    let maker = TpmMaker::new();
    let (mut one, mut other) = (Station::by(&maker), Station::by(&maker));
    let (document, foreign) = (one.attest(), other.attest());
    let certificate = &statement(&foreign).ek_certificate;
    let lie = forged(&document, |s| s.ek_certificate = certificate.clone());
    // Everything that is signed is in order; only the challenge tells.
    assert!(judge(&lie, &roots(&maker)).is_ok());
    let activation = lie.activation(ENTROPY).unwrap().unwrap();
    let refused = other.activate(&activation.challenge).unwrap_err();
    assert_eq!(refused.class, ErrorClass::BadRequest, "{refused}");
    // swtpm 0.7 does not refuse what was encrypted to another key: it goes into failure mode until it is reset.
    one.activate(&activation.challenge).unwrap_err();
}

#[test]
fn evidence_for_another_nonce_is_refused_also_where_the_document_claims_ours() {
    let maker = TpmMaker::new();
    let mut station = Station::by(&maker);
    let document = station.attest();
    let nonce = Nonce::of(&[b"another"]);
    let claims = Document::new(
        nonce,
        document.token.clone(),
        document.uri.clone(),
        document.spki.clone(),
        document.statement.clone(),
    );
    let refused = claims.verify(document.spki.sha256(), Some(nonce), &roots(&maker));
    let expected = EvidenceError::OtherNonce {
        wanted: nonce,
        found: NONCE,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn each_forged_part_has_its_own_error() {
    let maker = TpmMaker::new();
    let mut station = Station::by(&maker);
    let document = station.attest();
    generate(&mut *station.worker, "other", Scheme::EcdsaP256Sha256, 0).unwrap();
    let uri: KeyUri = "tpm2:object=other".parse().unwrap();
    let other = station
        .worker
        .attester()
        .unwrap()
        .attest(&uri, &NONCE)
        .unwrap();
    let other = Document::new(
        NONCE,
        other.token,
        uri,
        Spki::from_der(other.spki_der),
        other.statement,
    );
    let roots = roots(&maker);
    let refused =
        |change: &dyn Fn(&mut TpmStatement)| judge(&forged(&document, change), &roots).unwrap_err();
    let (ours, theirs) = (statement(&document), statement(&other));
    // A signing key that is not restricted to what the TPM says could have signed anything.
    let error = refused(&|s| s.attestation_key = ours.object.clone());
    assert_eq!(error, EvidenceError::NotAttestationKey);
    let error = refused(&|s| s.object = theirs.object.clone());
    assert!(matches!(error, EvidenceError::OtherKey { .. }), "{error}");
    let error = refused(&|s| s.signature = theirs.signature.clone());
    assert_eq!(error, EvidenceError::NotSigned);
    let error = refused(&|s| {
        s.attest = theirs.attest.clone();
        s.signature = theirs.signature.clone();
    });
    assert_eq!(error, EvidenceError::OtherObject);
    let error = refused(&|s| s.attest.0.truncate(40));
    assert_eq!(error, EvidenceError::NotSigned);
    let error = refused(&|s| s.object.0.push(0));
    assert!(matches!(error, EvidenceError::Malformed(_)), "{error}");
    let error = refused(&|s| s.ek_certificate.0.truncate(100));
    assert!(matches!(error, EvidenceError::Malformed(_)), "{error}");
}

#[test]
fn a_tpm_without_its_makers_certificate_gives_no_evidence() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let token = host.try_open().unwrap();
    assert!(!token.descriptor().can_attest);
    let mut worker = token.open_worker().unwrap();
    let key = generate(&mut *worker, "release", Scheme::EcdsaP256Sha256, 0).unwrap();
    let refused = worker
        .attester()
        .unwrap()
        .attest(&key.uri, &NONCE)
        .unwrap_err();
    assert_eq!(refused.class, ErrorClass::Unsupported);
}
