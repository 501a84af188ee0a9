//! What no signature through the daemon can do without, each measured alone in the same run: the token's own
//! time, one verification, an mTLS exchange, one sync. Their sum is a ceiling for the token's ratios on this
//! machine, whatever the daemon does in between.

use std::io;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use sealwright_core::scheme::Scheme;
use sealwright_core::sign::{SignInput, Verifier as _};
use sealwrightd::verifier::AwsLcVerifier;

use crate::echo;
use crate::load;
use crate::process::Meter;
use crate::rig::Rig;
use crate::sample::{Sample, Window, micros, quantile};

/// Verifications of which the median counts.
const VERIFICATIONS: usize = 2000;

/// What the parts of a signature take, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// One P-256 verification.
    pub verify: f64,
    /// Median of a request that is echoed over a kept mTLS connection, one caller.
    pub echo: f64,
    /// CPU of both ends for the same, sixteen callers.
    pub echo_cpu: f64,
}

impl Parts {
    /// Measures beside the daemon of `rig`, with its TLS settings and its callers' request.
    pub fn measure(rig: &Rig, time: Duration) -> io::Result<Self> {
        let (_echo, endpoint) = echo::beside(&rig.site)?;
        let ask = rig.ask.without_signature();
        let nobody = Meter::of([]);
        let exchange = |connections| {
            let callers = load::connect(&endpoint, connections)?;
            let window = Window::of(time);
            let load = || load::closed_loop(callers, &ask, window);
            io::Result::Ok(Sample::measure(window, &nobody, load))
        };
        let cpus = std::thread::available_parallelism()?.get();
        Ok(Self {
            verify: verification()?,
            echo: exchange(1)?.p50_us,
            echo_cpu: cpus as f64 * 1e6 / exchange(16)?.rate,
        })
    }

    /// The ratio to raw with one caller: the parts come one after the other.
    pub fn ceiling_of_one(&self, raw_us: f64, sync_us: f64) -> f64 {
        raw_us / (raw_us + self.verify + self.echo + sync_us)
    }

    /// The ratio to raw with every CPU busy: what costs no CPU costs nothing.
    pub fn ceiling_of_many(&self, raw_cpu_us: f64) -> f64 {
        raw_cpu_us / (raw_cpu_us + self.verify + self.echo_cpu)
    }
}

fn verification() -> io::Result<f64> {
    let bad = io::Error::other::<aws_lc_rs::error::Unspecified>;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(bad)?;
    let spki = pair.public_key().as_der().map_err(bad)?;
    let signature = pair.sign(&SystemRandom::new(), b"bench").map_err(bad)?;
    let scheme = Scheme::EcdsaP256Sha256;
    let input = SignInput::of(scheme, &[b"bench"]);
    let mut times = Vec::with_capacity(VERIFICATIONS);
    for _ in 0..VERIFICATIONS {
        let begun = Instant::now();
        if !AwsLcVerifier.verifies(spki.as_ref(), scheme, &input, signature.as_ref()) {
            return Err(io::Error::other("a good signature was refused"));
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(micros(quantile(&times, 0.5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_waits_for_the_disk_and_many_do_not() {
        let parts = Parts {
            verify: 60.0,
            echo: 40.0,
            echo_cpu: 25.0,
        };
        assert_eq!(parts.ceiling_of_one(50.0, 100.0), 0.2);
        assert_eq!(parts.ceiling_of_many(85.0), 0.5);
    }
}
