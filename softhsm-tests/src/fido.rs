//! A virtual security key per test: real firmware, see `fixtures/virtual-fido`, and the library that lets unmodified
//! programs see it, see `fixtures/hid-shim`.

mod proxy;

use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use tempfile::TempDir;

use self::proxy::Proxy;
use crate::fault::Faults;

/// The AAGUID that the virtual keys attest to.
pub const AAGUID: [u8; 16] = *b"sealwright-test!";
/// Where a certificate names the AAGUID: id-fido-gen-ce-aaguid.
const AAGUID_OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];
/// What programs see the keys through.
const SHIM: &str = "libhidshim.so";
/// A key that is not there or does not wait after this time never will.
const KEY_TIMEOUT: Duration = Duration::from_secs(20);

/// A folder of devices, `$VIRTUAL_HID`, and the maker whose certificates they carry.
///
/// # Panics
/// Every method panics where a key does not do what it should: a test without its key must fail.
#[derive(Debug)]
pub struct VirtualKeys {
    folder: TempDir,
    maker: Maker,
}

#[derive(Debug)]
struct Maker {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

/// One of them, behind a wire that can fail. Unplugged when dropped.
#[derive(Debug)]
pub struct VirtualKey {
    node: PathBuf,
    body: PathBuf,
    faults: Faults,
    plugged: Option<(Proxy, Child)>,
}

impl VirtualKeys {
    /// No key is plugged in yet.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for virtual keys");
        // Beside the keys, where a driver that is another user can read it.
        let shim = folder.path().join(SHIM);
        fs::copy(fixture(SHIM), shim).expect("the shim");
        Self {
            folder,
            maker: Maker::new(),
        }
    }

    /// The certificate of the maker's CA.
    #[must_use]
    pub fn maker_pem(&self) -> &str {
        &self.maker.pem
    }

    /// A new key that shows up as `/dev/hidrawN`, with an attestation by the maker.
    #[must_use]
    pub fn plug_in(&self, number: u16, serial: &str) -> VirtualKey {
        let node = self.folder.path().join(format!("hidraw{number}"));
        let body = self.folder.path().join(format!("key{number}"));
        for folder in [&node, &body] {
            fs::create_dir(folder).expect("a folder for a virtual key");
        }
        let info = format!(
            "vid=20a0\npid=42b2\nmanufacturer=Sealwright\nproduct=Virtual Key\nserial={serial}\n"
        );
        fs::write(node.join("info"), info).expect("the key's description");
        self.maker.attest(&body);
        let mut key = VirtualKey {
            node,
            body,
            faults: Faults::default(),
            plugged: None,
        };
        key.replug();
        key
    }

    /// Where they are: a sandboxed program has to be able to read it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a key that has none its PIN, with `fido2-token`, which asks on a terminal only.
    pub fn set_pin(&self, key: &VirtualKey, pin: &str) {
        let ask = format!("fido2-token -S {}", key.node());
        let mut asking = self
            .command("script")
            .args(["--quiet", "--return", "--command", &ask, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) starts");
        let (mut typed, mut shown) = (asking.stdin.take(), asking.stdout.take());
        for prompt in ["Enter new PIN", "Enter the same PIN again"] {
            await_text(shown.as_mut().expect("its output"), prompt);
            let typed = typed.as_mut().expect("its input");
            writeln!(typed, "{pin}").expect("a terminal that takes the PIN");
        }
        let status = asking.wait().expect("fido2-token ends");
        assert!(status.success(), "fido2-token -S: {status}");
    }

    /// What makes a program see these keys and no others: variables for its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.folder.path().join(SHIM)),
            ("VIRTUAL_HID", self.folder.path().to_owned()),
        ]
    }

    /// A command that sees them.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment());
        command
    }
}

impl Default for VirtualKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualKey {
    /// Pulls it out. What it remembers stays in its flash memory.
    pub fn unplug(&mut self) {
        if let Some((proxy, mut process)) = self.plugged.take() {
            drop(proxy);
            end(&mut process);
            fs::remove_file(self.body.join("sock")).expect("the key's socket goes with it");
        }
    }

    /// Plugs it in again, and waits until it is there.
    pub fn replug(&mut self) {
        self.unplug();
        let process = Command::new(fixture("sealwright-virtual-fido"))
            .args([&self.body, &self.body.join("flash")])
            .arg(self.body.join("attestation.der"))
            .arg(self.body.join("attestation.key"))
            .stdout(Stdio::null())
            .spawn()
            .expect("the virtual key starts");
        let back = self.body.join("sock");
        await_file(&back);
        let proxy = Proxy::start(&self.node.join("sock"), &back, &self.faults);
        self.plugged = Some((proxy, process));
    }

    /// What goes wrong on its wire.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every operation waits for [`VirtualKey::touch`] from now on.
    pub fn wait_for_touch(&self) {
        fs::write(self.body.join("presence"), "touch").expect("the key's finger");
    }

    /// No operation waits any more: a finger rests on the key.
    pub fn rest_finger(&self) {
        fs::write(self.body.join("presence"), "auto").expect("the key's finger");
    }

    /// Returns once an operation waits for a touch.
    pub fn await_waiting(&self) {
        await_file(&self.body.join("waiting"));
    }

    /// One touch.
    pub fn touch(&self) {
        fs::write(self.body.join("touch"), "").expect("the key's finger");
    }

    /// Its node, as programs under the shim see it.
    #[must_use]
    pub fn node(&self) -> String {
        let name = self.node.file_name().unwrap_or_default();
        format!("/dev/{}", name.to_string_lossy())
    }
}

impl Drop for VirtualKey {
    fn drop(&mut self) {
        if let Some((_, process)) = &mut self.plugged {
            end(process);
        }
    }
}

/// Ends a virtual device at once.
pub(crate) fn end(process: &mut Child) {
    // Fails only where it has ended already.
    let _ = process.kill();
    let _ = process.wait();
}

impl Maker {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "Sealwright test maker of security keys");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { params, key, pem }
    }

    /// Writes a certificate as WebAuthn (8.2.1) wants it, and its key as 32 bytes, into a key's folder.
    fn attest(&self, folder: &Path) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Sealwright");
        name.push(DnType::OrganizationalUnitName, "Authenticator Attestation");
        name.push(DnType::CommonName, "Virtual Key");
        params.is_ca = IsCa::ExplicitNoCa;
        let octets = [&[0x04, 0x10], &AAGUID[..]].concat();
        let aaguid = CustomExtension::from_oid_content(&AAGUID_OID, octets);
        params.custom_extensions.push(aaguid);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes);
        write("attestation.der", certificate.der()).expect("the attestation's certificate");
        write("attestation.key", &scalar(&key)).expect("the attestation's key");
    }
}

/// The private scalar inside a PKCS#8 text: ECPrivateKey is version 1 and 32 octets.
fn scalar(key: &KeyPair) -> [u8; 32] {
    const BEFORE: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    let der = key.serialize_der();
    let found = der
        .windows(BEFORE.len())
        .position(|window| window == BEFORE);
    let start = found.expect("an ECPrivateKey") + BEFORE.len();
    der[start..start + 32].try_into().expect("32 octets")
}

/// Reads up to `text`. Whoever waits for it forever is ended by the key's own time-out.
fn await_text(shown: &mut impl Read, text: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(text) {
        let read = shown.read(&mut byte).expect("the terminal");
        assert!(
            read == 1,
            "{text:?} does not come: {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend(byte);
    }
}

pub(crate) fn await_file(path: &Path) {
    let end = Instant::now() + KEY_TIMEOUT;
    while !path.exists() {
        assert!(Instant::now() < end, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fixtures/debug");
    let path = root.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `scripts/fixtures` first",
        path.display()
    );
    path
}
