//! What the tests share: a host with a TPM of its own, and checks by software that is not ours.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has to fail"
)]

pub mod driver;
pub mod tap;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sealwright_core::spki::Spki;
use sealwright_core::verify::{encode_raw, verify_message};
use sealwright_driver_api::{
    DriverError, KeyDescription, KeyDriver, KeySpec, Scheme, SignContext, SignInput, SignRequest,
    Signature, Token, TokenConfig,
};
use sealwright_driver_host::Secrets;
use sealwright_softhsm_tests::swtpm::Swtpm;
use tempfile::TempDir;

/// The credential of every host here.
pub const CREDENTIAL: &str = "0123456789abcdef0123456789abcdef";
/// What the schemes of swtpm 0.7 are.
pub const SCHEMES: [(Scheme, u16); 6] = [
    (Scheme::EcdsaP256Sha256, 0),
    (Scheme::EcdsaP384Sha384, 0),
    (Scheme::RsaPkcs1Sha256, 2048),
    (Scheme::RsaPssSha256, 2048),
    (Scheme::RsaPkcs1Sha256, 3072),
    (Scheme::RsaPssSha256, 3072),
];

/// A configured token. A test changes what it wants before it opens it.
pub struct Host {
    folder: TempDir,
    pub tcti: String,
    pub session: &'static str,
    pub serial: String,
    pub credential: String,
}

impl Host {
    /// A host whose configuration pins `tpm`.
    pub fn of(tpm: &Swtpm) -> Self {
        let mut host = Self::unpinned(tpm);
        host.serial = serial_in(&host.try_open().map(|_| ()).unwrap_err());
        host
    }

    /// A host that has never seen its TPM.
    pub fn unpinned(tpm: &Swtpm) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            tcti: tpm.tcti(),
            session: "hmac",
            serial: "unknown".to_owned(),
            credential: CREDENTIAL.to_owned(),
        }
    }

    /// Writes the configuration and its credential; the file's path.
    pub fn write(&self) -> PathBuf {
        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("pin"), &self.credential).unwrap();
        fs::set_permissions(path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "kind = 'tpm2'\nsocket = {:?}\nlabel = 'host'\nserial = {:?}\ncredential = {:?}\n\
             state_dir = {:?}\n[driver]\ntcti = {:?}\nsession = {:?}\n",
            self.socket(),
            self.serial,
            path("pin"),
            path("state"),
            self.tcti,
            self.session,
        );
        fs::write(path("tpm.toml"), text).unwrap();
        path("tpm.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("tpm.sock")
    }

    pub fn key_file(&self, object: &str) -> PathBuf {
        self.folder
            .path()
            .join("state/keys")
            .join(format!("{object}.pem"))
    }

    pub fn try_open(&self) -> Result<Box<dyn Token>, DriverError> {
        open(&self.write())
    }

    /// A worker of the token in this process.
    pub fn worker(&self) -> Box<dyn KeyDriver> {
        self.try_open().unwrap().open_worker().unwrap()
    }
}

/// Opens the token of a configuration file.
pub fn open(config: &Path) -> Result<Box<dyn Token>, DriverError> {
    let config = TokenConfig::read(config).unwrap();
    sealwright_driver_tpm2::open(&config, &Secrets::new(&config))
}

/// The serial that the error "this is another TPM" tells.
pub fn serial_in(error: &DriverError) -> String {
    let is_serial = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words = error.detail.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .find(is_serial)
        .unwrap_or_else(|| panic!("no serial in {error}"))
        .to_owned()
}

pub fn generate(
    worker: &mut dyn KeyDriver,
    object: &str,
    scheme: Scheme,
    rsa_bits: u16,
) -> Result<KeyDescription, DriverError> {
    let uri = format!("tpm2:object={object}").parse().unwrap();
    let spec = KeySpec {
        uri,
        scheme,
        rsa_bits,
    };
    let mut generator = worker.generator();
    within_60_s(|ctx| generator.as_mut().unwrap().generate(&spec, ctx))
}

fn within_60_s<T>(ask: impl FnOnce(&SignContext<'_>) -> T) -> T {
    let cancelled = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_secs(60);
    ask(&SignContext::new(deadline, &cancelled, &()))
}

pub fn describe(worker: &mut dyn KeyDriver, object: &str) -> Result<KeyDescription, DriverError> {
    worker.describe(&format!("tpm2:object={object}").parse().unwrap())
}

/// A raw signature over `message`.
pub fn sign(
    worker: &mut dyn KeyDriver,
    object: &str,
    scheme: Scheme,
    message: &[u8],
) -> Result<Vec<u8>, DriverError> {
    let request = SignRequest {
        key: format!("tpm2:object={object}").parse().unwrap(),
        scheme,
        input: SignInput::of(scheme, &[message]),
    };
    request.check(0).unwrap();
    match within_60_s(|ctx| worker.sign(&request, ctx))? {
        Signature::Raw(raw) => Ok(raw),
        Signature::WebAuthn(_) => panic!("a TPM makes no WebAuthn assertion"),
    }
}

/// Signs with P-256 and verifies.
pub fn sign_and_verify(worker: &mut dyn KeyDriver, key: &KeyDescription) {
    let object = key.uri.text("object").unwrap();
    let scheme = key.schemes[0];
    let raw = sign(worker, object, scheme, b"a message").unwrap();
    verify(key, scheme, b"a message", raw);
}

/// Fails unless the signature verifies.
pub fn verify(key: &KeyDescription, scheme: Scheme, message: &[u8], raw: Vec<u8>) {
    let encoded = encode_raw(scheme, raw).unwrap();
    verify_message(&key.spki_der, scheme, &[message], &encoded).unwrap();
}

/// Fails unless openssl accepts the signature.
pub fn verify_with_openssl(key: &KeyDescription, scheme: Scheme, message: &[u8], raw: Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("key"), Spki::from_der(key.spki_der.clone()).to_pem()).unwrap();
    fs::write(path("message"), message).unwrap();
    fs::write(path("signature"), encode_raw(scheme, raw).unwrap()).unwrap();
    let hash = if scheme == Scheme::EcdsaP384Sha384 {
        "-sha384"
    } else {
        "-sha256"
    };
    let mut openssl = Command::new("openssl");
    openssl
        .args(["dgst", hash, "-verify"])
        .arg(path("key"))
        .arg("-signature")
        .arg(path("signature"));
    if scheme == Scheme::RsaPssSha256 {
        openssl.args([
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:32",
        ]);
    }
    run(openssl.arg(path("message")));
}

/// Runs a command that must succeed; its output.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}
