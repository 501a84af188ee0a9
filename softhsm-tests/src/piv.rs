//! A smart card reader and a virtual YubiKey (its PIV side) per test: the real pcscd with a virtual reader, and real
//! firmware in it, see `fixtures/virtual-piv`.

mod proxy;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use self::proxy::{Plan, Proxy};
use crate::fault::Faults;
use crate::fido::{await_file, end, fixture};
use crate::swtpm::PortPair;

/// Every card's PIN until somebody changes it.
pub const PIN: &str = "123456";
/// Firmware before 5.7: its management key is 3DES, as the virtual card's.
pub const FIRMWARE: &str = "5.4.3";

/// What a reader has not done after this time it never will.
const READER_TIMEOUT: Duration = Duration::from_secs(20);
/// Longer than pcscd takes between two looks (400 ms), of which it gives no sign.
const MISSED: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(10);

/// pcscd with two virtual readers, seen by nobody but this test.
///
/// # Panics
/// Every method panics where reader or card do not do what they should: a test without its card must fail.
#[derive(Debug)]
pub struct VirtualReader {
    folder: TempDir,
    ports: PortPair,
    pcscd: Child,
    maker: Maker,
}

/// A card that is or was in the reader, behind a wire that can fail.
#[derive(Debug)]
pub struct VirtualPiv {
    folder: PathBuf,
    port: u16,
    serial: u32,
    plan: Plan,
    inserted: Option<(Proxy, Child)>,
}

impl VirtualReader {
    /// Starts pcscd with empty readers.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for pcscd");
        // As on a real host, every user reaches pcscd.
        let all = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), all).expect("mode 0755");
        let ports = PortPair::claim();
        let port = format!("{:#06X}", ports.first());
        let config = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:{port}\n\
             LIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so\nCHANNELID {port}\n"
        );
        fs::write(folder.path().join("reader.conf"), config).expect("pcscd's configuration");
        let pcscd = pcscd(folder.path());
        await_file(&folder.path().join("pcscd.comm"));
        await_listener(ports.first());
        let maker = Maker::new();
        Self {
            folder,
            ports,
            pcscd,
            maker,
        }
    }

    /// The certificate that a card's own certificate is signed with.
    #[must_use]
    pub fn maker_pem(&self) -> &str {
        &self.maker.pem
    }

    /// Puts a new card in.
    #[must_use]
    pub fn insert(&self, serial: u32) -> VirtualPiv {
        self.insert_at(self.ports.first(), serial)
    }

    /// Puts another one into the second reader that pcscd has.
    #[must_use]
    pub fn insert_second(&self, serial: u32) -> VirtualPiv {
        self.insert_at(self.ports.first() + 1, serial)
    }

    fn insert_at(&self, port: u16, serial: u32) -> VirtualPiv {
        let folder = self.folder.path().join(port.to_string());
        fs::create_dir(&folder).expect("a folder for the card");
        self.maker.attest(&folder);
        let mut card = VirtualPiv {
            folder,
            port,
            serial,
            plan: Plan::default(),
            inserted: None,
        };
        card.insert_again();
        card
    }

    /// What makes a program see this reader and no other.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 1] {
        let socket = self.folder.path().join("pcscd.comm");
        [("PCSCLITE_CSOCK_NAME", socket)]
    }
}

impl Drop for VirtualReader {
    fn drop(&mut self) {
        end(&mut self.pcscd);
    }
}

impl VirtualPiv {
    /// Takes it out. What it remembers stays in its memory.
    pub fn take_out(&mut self) {
        if let Some((proxy, mut process)) = self.inserted.take() {
            drop(proxy);
            end(&mut process);
        }
    }

    /// What goes wrong on its wire. Answers to a reset never suffer. After one that is lost the card is out.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.plan.faults
    }

    /// Has it taken out in the place of its n-th answer from now on.
    pub fn take_out_in(&self, answers: u32) {
        self.plan.removed_in.store(answers, Ordering::Release);
    }

    /// Waits until the reader has seen it: pcscd looks every few hundred milliseconds.
    pub fn await_seen(&self) {
        let (proxy, _) = self.inserted.as_ref().expect("a card that is in");
        let end = Instant::now() + READER_TIMEOUT;
        while !proxy.has_been_seen() {
            assert!(Instant::now() < end, "the reader does not see the card");
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it is in the reader.
    #[must_use]
    pub fn is_in(&self) -> bool {
        let inserted = self.inserted.as_ref();
        inserted.is_some_and(|(proxy, _)| !proxy.has_ended())
    }

    /// Puts it in again, no sooner than pcscd can have seen that it was out: one that it did not miss it does not power.
    pub fn insert_again(&mut self) {
        if self.inserted.is_some() {
            self.take_out();
            std::thread::sleep(MISSED);
        }
        let proxy = Proxy::start(self.port, &self.plan);
        let process = Command::new(fixture("sealwright-virtual-piv"))
            .arg(proxy.port().to_string())
            .arg(&self.folder)
            .args([FIRMWARE, &self.serial.to_string()])
            .stdout(Stdio::null())
            .spawn();
        let process = process.expect("the virtual card starts");
        self.inserted = Some((proxy, process));
    }

    /// Every signature by a key with a touch policy waits for [`VirtualPiv::touch`] from now on.
    pub fn wait_for_touch(&self) {
        fs::write(self.folder.join("presence"), "touch").expect("the card's finger");
    }

    /// Returns once a signature waits for a touch.
    pub fn await_waiting(&self) {
        await_file(&self.folder.join("waiting"));
    }

    /// One touch.
    pub fn touch(&self) {
        fs::write(self.folder.join("touch"), "").expect("the card's finger");
    }
}

impl Drop for VirtualPiv {
    fn drop(&mut self) {
        self.take_out();
    }
}

/// pcscd's folder is compiled into it, so it gets a view of the file system in which that folder is ours.
fn pcscd(folder: &Path) -> Child {
    fs::create_dir_all("/run/pcscd").expect("pcscd's folder");
    let script =
        "mount --bind \"$1\" /run/pcscd && exec pcscd --foreground --config \"$1/reader.conf\"";
    Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "pcscd"])
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("unshare and pcscd, from the packages util-linux and pcscd")
}

/// Waits until somebody holds the port. Looked at by binding: whoever connects is taken for a card.
fn await_listener(port: u16) {
    let end = Instant::now() + READER_TIMEOUT;
    while TcpListener::bind(("0.0.0.0", port)).is_ok() {
        assert!(Instant::now() < end, "pcscd opens no reader");
        std::thread::sleep(LOOK);
    }
}

#[derive(Debug)]
struct Maker {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Maker {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "Sealwright test maker of PIV cards");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { params, key, pem }
    }

    /// Writes a card's own certificate and its key into the card's folder.
    fn attest(&self, folder: &Path) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "Yubico PIV Attestation");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes);
        write("attestation.der", certificate.der()).expect("the card's certificate");
        write("attestation.key", &key.serialize_der()).expect("the card's key");
    }
}
