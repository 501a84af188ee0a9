//! One session: signs, or does what its fault says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_driver_api::{
    Attest, Claims, Destroy, DriverError, ErrorClass, EvidenceGrade, Generate, KeyDescription,
    KeyDriver, KeySpec, KeyUri, Nonce, Progress, RawEvidence, Sha256Digest, SignContext, SignInput,
    SignRequest, Signature, Statement, TokenIdentity,
};

use crate::fault::{Fault, Switch};
use crate::keys::{Algorithm, SoftKey};
use crate::store::Store;

/// How long it may take to notice a cancellation or a touch.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a driver that ignores cancellations waits for one.
const IGNORED_CANCEL: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) store: Arc<Store>,
    pub(crate) switch: Arc<Switch>,
    pub(crate) delay: Duration,
    pub(crate) needs_touch: bool,
    pub(crate) touch: PathBuf,
    pub(crate) max_message: u32,
    pub(crate) identity: TokenIdentity,
}

impl KeyDriver for Worker {
    fn health(&mut self) -> Result<(), DriverError> {
        self.present()
    }

    fn describe(&mut self, key: &KeyUri) -> Result<KeyDescription, DriverError> {
        self.present()?;
        let (name, key) = self.store.find(key)?;
        let uri = format!("scripted:object={name}");
        let uri = uri
            .parse()
            .map_err(|e| DriverError::config(format!("{uri}: {e}")))?;
        Ok(KeyDescription {
            uri,
            spki_der: key.spki().to_vec(),
            schemes: key.schemes(),
            evidence: EvidenceGrade::None,
            claims: Vec::new(),
        })
    }

    fn sign(
        &mut self,
        request: &SignRequest,
        ctx: &SignContext<'_>,
    ) -> Result<Signature, DriverError> {
        let begun = Instant::now();
        request.check(self.max_message)?;
        self.present()?;
        let (_, key) = self.store.find(&request.key)?;
        let fault = self.switch.strike();
        self.before(fault, ctx)?;
        let mut signature = self.signature(fault, &key, request)?;
        self.device_time(begun + self.delay, ctx)?;
        match fault {
            Fault::CrashAfterSign => std::process::exit(1),
            Fault::Short => drop(signature.pop()),
            Fault::Garbage => signature.fill(0x42),
            _ => {}
        }
        Ok(Signature::Raw(signature))
    }

    fn generator(&mut self) -> Option<&mut dyn Generate> {
        Some(self)
    }

    fn destroyer(&mut self) -> Option<&mut dyn Destroy> {
        Some(self)
    }

    fn attester(&mut self) -> Option<&mut dyn Attest> {
        Some(self)
    }
}

impl Attest for Worker {
    fn attest(&mut self, key: &KeyUri, nonce: &Nonce) -> Result<RawEvidence, DriverError> {
        self.present()?;
        let (_, key) = self.store.find(key)?;
        let (nonce, key) = match self.switch.now() {
            Fault::OtherNonce => (Nonce::of(&[nonce.as_bytes()]), key),
            Fault::OtherEvidence => (*nonce, key.sibling()?.into()),
            _ => (*nonce, key),
        };
        Ok(RawEvidence {
            nonce,
            token: self.identity.clone(),
            spki_der: key.spki().to_vec(),
            statement: Statement::Pkcs11Claims(Claims {
                sensitive: Some(false),
                extractable: Some(true),
                always_sensitive: Some(false),
                never_extractable: Some(false),
                local: Some(true),
                key_gen_mechanism: None,
            }),
        })
    }
}

impl Destroy for Worker {
    fn destroy(&mut self, key: &KeyUri, spki_sha256: &Sha256Digest) -> Result<(), DriverError> {
        self.present()?;
        let (name, found) = self.store.find(key)?;
        if Sha256Digest::of(&[found.spki()]) != *spki_sha256 {
            return Err(DriverError::bad_request(format!("{key} is another key")));
        }
        let fault = self.switch.now();
        if fault != Fault::KeepsDestroyed {
            self.store.remove(&name)?;
        }
        if fault == Fault::CrashAfterDestroy {
            std::process::exit(1);
        }
        Ok(())
    }
}

impl Generate for Worker {
    fn generate(
        &mut self,
        spec: &KeySpec,
        _: &SignContext<'_>,
    ) -> Result<KeyDescription, DriverError> {
        let name = spec.uri.text("object");
        let name = name.ok_or_else(|| DriverError::bad_request("name the new key with object="))?;
        match self.store.find(&spec.uri) {
            Err(error) if error.class == ErrorClass::KeyMissing => {}
            Err(error) => return Err(error),
            Ok(_) => {
                return Err(DriverError::bad_request(format!(
                    "{} is a key already",
                    spec.uri
                )));
            }
        }
        self.store
            .make(name, Algorithm::of(spec.scheme, spec.rsa_bits)?)?;
        if self.switch.now() == Fault::CrashAfterGenerate {
            std::process::exit(1);
        }
        self.describe(&spec.uri)
    }
}

impl Worker {
    fn present(&self) -> Result<(), DriverError> {
        match self.switch.now() {
            Fault::Lost => Err(scripted(ErrorClass::Lost)),
            _ => Ok(()),
        }
    }

    /// What happens instead of signing, or before it.
    fn before(&self, fault: Fault, ctx: &SignContext<'_>) -> Result<(), DriverError> {
        match fault {
            Fault::Transient => return Err(scripted(ErrorClass::Transient)),
            Fault::Auth => return Err(scripted(ErrorClass::Auth)),
            Fault::LockedOut => return Err(scripted(ErrorClass::LockedOut)),
            Fault::KeyMissing => return Err(scripted(ErrorClass::KeyMissing)),
            Fault::KeyAmbiguous => return Err(scripted(ErrorClass::KeyAmbiguous)),
            Fault::TouchTimeout => {
                ctx.progress(Progress::Touch);
                return Err(scripted(ErrorClass::TouchTimeout));
            }
            Fault::CrashBeforeSign => std::process::exit(1),
            Fault::Abort => std::process::abort(),
            Fault::Stall => loop {
                std::thread::park();
            },
            Fault::IgnoreCancel => ignore_cancel(ctx),
            _ => {}
        }
        if self.needs_touch || fault == Fault::Touch {
            self.wait_for_touch(ctx)
        } else {
            Ok(())
        }
    }

    fn wait_for_touch(&self, ctx: &SignContext<'_>) -> Result<(), DriverError> {
        ctx.progress(Progress::Touch);
        while std::fs::remove_file(&self.touch).is_err() {
            if ctx.cancelled() {
                return Err(cancelled());
            }
            if Instant::now() >= ctx.deadline() {
                return Err(DriverError::new(
                    ErrorClass::TouchTimeout,
                    "",
                    "nobody touched the key",
                ));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn signature(
        &self,
        fault: Fault,
        key: &SoftKey,
        request: &SignRequest,
    ) -> Result<Vec<u8>, DriverError> {
        match fault {
            Fault::OtherKey => key.sibling()?.sign(request.scheme, &request.input),
            Fault::OtherDigest => {
                let input = SignInput::of(request.scheme, &[b"another message"]);
                key.sign(request.scheme, &input)
            }
            _ => key.sign(request.scheme, &request.input),
        }
    }

    /// Lets the device's time pass, minding deadline and cancellation.
    fn device_time(&self, until: Instant, ctx: &SignContext<'_>) -> Result<(), DriverError> {
        loop {
            let now = Instant::now();
            if ctx.cancelled() && !self.delay.is_zero() {
                return Err(cancelled());
            }
            if until <= now {
                return Ok(());
            }
            if ctx.deadline() <= now {
                return Err(DriverError::new(
                    ErrorClass::Transient,
                    "",
                    "the device needs longer than the deadline",
                ));
            }
            std::thread::sleep(LOOK_EVERY.min(until - now));
        }
    }
}

/// Tells that it is busy, gives a cancellation the time to come, and then works on as if none had.
fn ignore_cancel(ctx: &SignContext<'_>) {
    ctx.progress(Progress::Busy);
    let told = Instant::now();
    while told.elapsed() < IGNORED_CANCEL {
        if ctx.cancelled() {
            std::thread::sleep(ctx.deadline().saturating_duration_since(Instant::now()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn cancelled() -> DriverError {
    DriverError::new(ErrorClass::Cancelled, "", "cancelled at the device")
}

fn scripted(class: ErrorClass) -> DriverError {
    DriverError::new(class, "SCRIPTED", format!("the script says {class:?}"))
}
