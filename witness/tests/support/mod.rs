//! The built witness as a process, and a log with a software key.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use sealwright_core::tlog::add_checkpoint::AddCheckpoint;
use sealwright_core::tlog::merkle::{leaf_hash, node_hash};
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::prove::{HashReader, consistency_proof, root};
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Checkpoint, Hash, Note, VerifierKey};
use tempfile::TempDir;

/// The witness's name.
pub const NAME: &str = "witness.test/w1";

/// A witness's folder, and its process while it runs.
pub struct Witness {
    pub dir: TempDir,
    pub key: VerifierKey,
    process: Option<Child>,
    address: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: String,
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sealwright-witness"))
}

impl Witness {
    /// Makes a key and a configuration that knows `log` under `origin`, and starts.
    pub fn of(origin: &str, log: &str) -> Self {
        let mut witness = Self::laid_out(origin, log);
        witness.start();
        witness
    }

    /// The same without starting it.
    pub fn laid_out(origin: &str, log: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut keygen = program();
        keygen.args(["keygen", "--name", NAME, "--key"]);
        let made = keygen.arg(dir.path().join("key")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout).unwrap();
        let config = format!(
            "listen = '127.0.0.1:0'\nkey_file = 'key'\nstate_dir = 'state'\n\
             [[log]]\norigin = '{origin}'\nkeys = ['{log}']\n"
        );
        std::fs::write(dir.path().join("witness.toml"), config).unwrap();
        Self {
            dir,
            key: key.trim().parse().unwrap(),
            process: None,
            address: String::new(),
        }
    }

    pub fn start(&mut self) {
        let mut child = self.spawn();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let (_, address) = line.as_ref().unwrap().split_once("listening on http://")?;
            address.split('"').next().map(str::to_owned)
        });
        self.address = address.expect("the witness listens");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.process = Some(child);
    }

    fn spawn(&self) -> Child {
        let mut command = program();
        command
            .arg("serve")
            .arg("--config")
            .arg(self.dir.path().join("witness.toml"));
        command.stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a witness that must refuse to run; what it says.
    pub fn refused_start(&self) -> String {
        let output = self.spawn().wait_with_output().unwrap();
        assert!(!output.status.success(), "must refuse to start");
        String::from_utf8(output.stderr).unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    pub fn post(&self, body: &[u8]) -> Answer {
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.send(&head, body).expect("an answer")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), b"")
            .expect("an answer")
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        let limit = Some(Duration::from_secs(30));
        stream.set_read_timeout(limit).unwrap();
        stream
    }

    /// `None` where the connection breaks without an answer.
    pub fn send(&self, head: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = self.connect();
        let head = format!("{head}Host: witness\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        // A witness that has heard enough closes before it has read all.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&String::from_utf8(answer).unwrap())
    }

    /// Asserts that the answer is a cosignature over the request's checkpoint; its time.
    pub fn cosigned(&self, request: &str, answer: &Answer) -> u64 {
        assert_eq!(answer.status, 200, "{answer:?}");
        let request: AddCheckpoint = request.parse().unwrap();
        let lines = NoteSignature::parse_lines(&answer.body).unwrap();
        let note = Note::new(request.note().text().to_owned(), lines).unwrap();
        note.verify([&self.key]).unwrap()[0].time.unwrap()
    }
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let content_type = head
            .lines()
            .find_map(|line| line.strip_prefix("content-type: "));
        Some(Self {
            status,
            content_type: content_type.map(str::to_owned),
            body: body.to_owned(),
        })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// A log with `leaf 0`, `leaf 1`, … as its entries.
pub struct Log {
    key: SigningKey,
    origin: String,
    branch: &'static str,
}

impl Log {
    pub fn new(origin: &str) -> Self {
        Self {
            key: SigningKey::from_bytes(&[9; 32]),
            origin: origin.to_owned(),
            branch: "leaf",
        }
    }

    /// The same log with other entries.
    pub fn rewritten(&self) -> Self {
        Self {
            branch: "other",
            ..Self::new(&self.origin)
        }
    }

    pub fn vkey(&self) -> VerifierKey {
        let public = self.key.verifying_key();
        VerifierKey::new(&self.origin, KeyType::Ed25519, public.as_bytes()).unwrap()
    }

    /// The request to go on from `old` to `size`.
    pub fn request(&self, old: u64, size: u64) -> String {
        let leaves = Leaves((0..size).map(|i| format!("{} {i}", self.branch)).collect());
        let root = root(size, &leaves).unwrap();
        let body = Checkpoint::new(&self.origin, size, root)
            .unwrap()
            .to_string();
        let signature = self.key.sign(body.as_bytes()).to_bytes().to_vec();
        let line = NoteSignature::new(&self.origin, self.vkey().id(), signature).unwrap();
        let note = Note::new(body, vec![line]).unwrap();
        let proof = match old {
            0 => Vec::new(),
            old => consistency_proof(old, size, &leaves).unwrap(),
        };
        AddCheckpoint::new(old, proof, note).unwrap().to_string()
    }
}

struct Leaves(Vec<String>);

#[derive(Debug, thiserror::Error)]
#[error("no such subtree")]
struct Missing;

impl HashReader for Leaves {
    type Error = Missing;

    fn hash(&self, level: u32, index: u64) -> Result<Hash, Missing> {
        let Some(below) = level.checked_sub(1) else {
            let leaf = self.0.get(usize::try_from(index).unwrap());
            return leaf.map(|leaf| leaf_hash(leaf.as_bytes())).ok_or(Missing);
        };
        let (left, right) = (
            self.hash(below, index * 2)?,
            self.hash(below, index * 2 + 1)?,
        );
        Ok(node_hash(&left, &right))
    }
}

/// The file names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
