//! Verdicts on old signatures: what a verifier with a trust document needs for a hundred thousand of them, on all cores.
//!
//! For each: read the envelope, find the version that signed, verify, judge with the time of witnesses.

use std::io;
use std::thread;
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sealwright_core::dsse::{Envelope, Options, Pae, TrustedKey, encode_envelope};
use sealwright_core::key::KeyState;
use sealwright_core::spki::Spki;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use sealwright_core::verdict::{Evidence, Life, Verdict, judge};
use sealwright_softhsm_tests::site::statement;

use crate::aims;
use crate::figures::Figures;

/// Signatures, and in a short run.
const SIGNATURES: usize = 100_000;
const QUICK: usize = 1_000;
/// Different ones among them: making them is not what is measured.
const DIFFERENT: usize = 1_000;
/// Versions of the key; each signed as many.
const VERSIONS: usize = 4;
/// SubjectPublicKeyInfo of a P-256 key up to its point.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 3, 1, 7, 3, 0x42, 0,
];

/// Measures and prints.
pub fn measure(quick: bool, figures: &mut Figures) -> io::Result<()> {
    let count = if quick { QUICK } else { SIGNATURES };
    let old = Old::make().map_err(io::Error::other)?;
    let threads = thread::available_parallelism()?.get();
    let share = count.div_ceil(threads);
    let begin = Instant::now();
    let accepted: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| old.accepted(share)))
            .collect();
        let accepted = workers.into_iter().map(|worker| worker.join());
        accepted.map(Result::unwrap_or_default).sum()
    });
    let done = share * threads;
    if accepted != done {
        let why = format!("{accepted} of {done} signatures got the verdict that they have");
        return Err(io::Error::other(why));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let rate = done as f64 / seconds;
    figures.add(&aims::VERDICTS, rate);
    println!(
        "{done} verdicts on old signatures: {seconds:.1} s, {rate:.0} per s on {threads} threads\n"
    );
    Ok(())
}

/// The versions of a key, and envelopes that they signed.
struct Old {
    keys: Vec<TrustedKey>,
    envelopes: Vec<Vec<u8>>,
}

impl Old {
    fn make() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let random = SystemRandom::new();
        let (mut keys, mut envelopes) = (Vec::new(), Vec::new());
        for version in 0..VERSIONS {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
            let spki = Spki::from_der([&P256_PREFIX, pair.public_key().as_ref()].concat());
            for number in 0..DIFFERENT / VERSIONS {
                let payload = statement(&format!("{version}-{number}"));
                let pae = Pae {
                    payload_type: PAYLOAD_TYPE,
                    payload: &payload,
                };
                let signature = pair.sign(&random, &pae.to_vec())?;
                let signatures = [(&*spki.keyid(), signature.as_ref())];
                envelopes.push(encode_envelope(PAYLOAD_TYPE, &payload, &signatures));
            }
            keys.push(TrustedKey::with_default_scheme(spki)?);
        }
        Ok(Self { keys, envelopes })
    }

    /// How many of so many signatures were made before the compromise.
    fn accepted(&self, count: usize) -> usize {
        let at = Timestamp::from_unix_millis;
        let life = Life {
            state: KeyState::Deactivated,
            active_from: Some(at(1)),
            compromised_from: Some(at(1000)),
        };
        let evidence = Evidence {
            recorded: Some(at(500)),
            witnessed: Some(at(900)),
            stamped: None,
        };
        let verdicts = self.envelopes.iter().cycle().take(count);
        let accepted = verdicts.filter(|bytes| {
            let envelope = Envelope::parse(bytes);
            let verified =
                envelope.map(|envelope| envelope.verify(&self.keys, 1, Options::default()));
            matches!(verified, Ok(Ok(_))) && judge(life, evidence) == Verdict::BeforeCompromise
        });
        accepted.count()
    }
}
