//! The token as the host sees it: its descriptor and its workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki::mechanism::{MechanismInfo, MechanismType};
use cryptoki::slot::Limit;
use sealwright_driver_api::{
    Attest, Descriptor, Destroy, DriverError, ErrorClass, EvidenceGrade, Generate, KeyDescription,
    KeyDriver, KeySpec, KeyUri, Nonce, RawEvidence, Scheme, Sha256Digest, SignContext, SignRequest,
    Signature, Token, TokenConfig,
};

use crate::KIND;
use crate::address::Address;
use crate::attest::attest;
use crate::connection::Connector;
use crate::describe::describe;
use crate::destroy::destroy;
use crate::fault::Fault;
use crate::generate::{Plan, check_free, generate};
use crate::pool::{Lease, Pool};
use crate::sign::sign;

/// How long calls without a deadline of their own wait for a reconnection by another request.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Sessions the driver needs beside its workers: the anchor, and one to write a new key.
const EXTRA_SESSIONS: u64 = 2;

/// A PKCS#11 token, logged in.
#[derive(Debug)]
pub(crate) struct Pkcs11Token {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    descriptor: Descriptor,
}

impl Pkcs11Token {
    pub(crate) fn open(connector: Connector, config: &TokenConfig) -> Result<Self, DriverError> {
        let pool = Pool::open(connector)?;
        let descriptor = pool.run(Instant::now() + CALL_LIMIT, |lease| {
            descriptor(lease, config)
        })?;
        Ok(Self {
            shared: Arc::new(Shared { pool, descriptor }),
        })
    }
}

impl Token for Pkcs11Token {
    fn descriptor(&self) -> &Descriptor {
        &self.shared.descriptor
    }

    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError> {
        Ok(Box::new(Worker {
            shared: Arc::clone(&self.shared),
        }))
    }
}

/// Works on one request at a time; takes a session from the pool for each.
#[derive(Debug)]
struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    fn address(&self, uri: &KeyUri) -> Result<Address, DriverError> {
        let connector = &self.shared.pool.connector;
        Address::parse(uri, &connector.label, &connector.serial)
    }

    fn run<T>(
        &self,
        work: impl FnMut(&mut Lease<'_>) -> Result<T, Fault>,
    ) -> Result<T, DriverError> {
        self.shared.pool.run(Instant::now() + CALL_LIMIT, work)
    }
}

impl KeyDriver for Worker {
    fn health(&mut self) -> Result<(), DriverError> {
        self.run(|lease| lease.check_token().map(|_| ()))
    }

    fn describe(&mut self, key: &KeyUri) -> Result<KeyDescription, DriverError> {
        let address = self.address(key)?;
        self.run(|lease| describe(lease, key, &address, &self.shared.descriptor.schemes))
    }

    fn sign(
        &mut self,
        request: &SignRequest,
        ctx: &SignContext<'_>,
    ) -> Result<Signature, DriverError> {
        request.check(self.shared.descriptor.max_message)?;
        let address = self.address(&request.key)?;
        self.shared.pool.run(ctx.deadline(), |lease| {
            if ctx.cancelled() {
                let detail = format!("signing with {}: nobody waits any more", request.key);
                return Err(Fault::hopeless(DriverError::new(
                    ErrorClass::Cancelled,
                    "",
                    detail,
                )));
            }
            sign(lease, request, &address)
        })
    }

    fn generator(&mut self) -> Option<&mut dyn Generate> {
        if self.shared.descriptor.can_generate {
            Some(self)
        } else {
            None
        }
    }

    fn destroyer(&mut self) -> Option<&mut dyn Destroy> {
        if self.shared.descriptor.can_destroy {
            Some(self)
        } else {
            None
        }
    }

    fn attester(&mut self) -> Option<&mut dyn Attest> {
        Some(self)
    }
}

impl Destroy for Worker {
    fn destroy(&mut self, key: &KeyUri, spki_sha256: &Sha256Digest) -> Result<(), DriverError> {
        let address = self.address(key)?;
        self.run(|lease| destroy(lease, key, &address, spki_sha256))
    }
}

impl Attest for Worker {
    fn attest(&mut self, key: &KeyUri, nonce: &Nonce) -> Result<RawEvidence, DriverError> {
        let address = self.address(key)?;
        self.run(|lease| attest(lease, key, &address, nonce))
    }
}

impl Generate for Worker {
    fn generate(
        &mut self,
        spec: &KeySpec,
        _: &SignContext<'_>,
    ) -> Result<KeyDescription, DriverError> {
        let plan = Plan::new(spec, self.address(&spec.uri)?)?;
        self.run(|lease| check_free(lease, &plan))?;
        // No rung of the ladder after this: a second attempt could make a second key.
        let made =
            self.run(|lease| generate(lease, &plan).map_err(|fault| Fault::hopeless(fault.error)))?;
        self.run(|lease| describe(lease, &spec.uri, &made, &self.shared.descriptor.schemes))
    }
}

fn descriptor(lease: &Lease<'_>, config: &TokenConfig) -> Result<Descriptor, Fault> {
    let info = lease.check_token()?;
    Ok(Descriptor {
        kind: KIND.to_owned(),
        label: config.label.clone(),
        serial: config.serial.clone(),
        manufacturer: info.manufacturer_id().to_owned(),
        model: info.model().to_owned(),
        sessions: sessions(config.sessions, info.max_session_count()),
        schemes: schemes(lease),
        max_message: config.max_message,
        needs_touch: false,
        can_generate: !info.write_protected() && makes_keys(lease),
        evidence: EvidenceGrade::Claimed,
        can_attest: true,
        can_destroy: !info.write_protected(),
    })
}

/// As many workers as configured, if the token has room for their sessions.
fn sessions(wanted: u16, limit: Limit) -> u16 {
    match limit {
        Limit::Max(limit) => {
            let room = u16::try_from(limit.saturating_sub(EXTRA_SESSIONS))
                .unwrap_or(u16::MAX)
                .max(1);
            if room < wanted {
                tracing::warn!(wanted, room, "the token has fewer sessions than configured");
            }
            wanted.min(room)
        }
        Limit::Unavailable | Limit::Infinite => wanted,
    }
}

/// The schemes whose mechanism the token has, for keys as long as theirs.
fn schemes(lease: &Lease<'_>) -> Vec<Scheme> {
    let can = |scheme: &Scheme| {
        let (mechanism, curve_bits) = match scheme {
            Scheme::EcdsaP256Sha256 => (MechanismType::ECDSA, Some(256)),
            Scheme::EcdsaP384Sha384 => (MechanismType::ECDSA, Some(384)),
            Scheme::RsaPkcs1Sha256 => (MechanismType::RSA_PKCS, None),
            Scheme::RsaPssSha256 => (MechanismType::RSA_PKCS_PSS, None),
            Scheme::Ed25519 => (MechanismType::EDDSA, None),
            _ => return false,
        };
        mechanism_info(lease, mechanism).is_some_and(|info| {
            let lengths = info.min_key_size()..=info.max_key_size();
            info.sign() && curve_bits.is_none_or(|bits| lengths.contains(&bits))
        })
    };
    Scheme::PLAIN.into_iter().filter(can).collect()
}

fn makes_keys(lease: &Lease<'_>) -> bool {
    [
        MechanismType::ECC_KEY_PAIR_GEN,
        MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
        MechanismType::RSA_PKCS_KEY_PAIR_GEN,
    ]
    .into_iter()
    .any(|maker| mechanism_info(lease, maker).is_some())
}

/// Asked one by one: cryptoki complains of every mechanism in a list that it has no name for.
fn mechanism_info(lease: &Lease<'_>, mechanism: MechanismType) -> Option<MechanismInfo> {
    lease
        .connector()
        .module
        .context()
        .get_mechanism_info(lease.slot, mechanism)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_leave_room_for_the_anchor_and_for_key_generation() {
        assert_eq!(sessions(8, Limit::Infinite), 8);
        assert_eq!(sessions(8, Limit::Max(100)), 8);
        assert_eq!(sessions(8, Limit::Max(6)), 4);
        assert_eq!(sessions(8, Limit::Max(1)), 1);
    }
}
