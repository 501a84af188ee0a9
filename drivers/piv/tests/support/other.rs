//! Another program of the host, at the same card: the test's own, started once more.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use super::Host;

const HERE: &str = "SEALWRIGHT_PIV_OTHER";
const HELD: &str = "the card is held";

/// Ended when dropped.
pub struct Other(Child);

impl Other {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

/// Whether this process is the other program.
pub fn is_here() -> bool {
    std::env::var_os(HERE).is_some()
}

/// Starts it; returns once it holds the card. It is the test of this name, where [`is_here`].
pub fn start(host: &Host, test: &str) -> Other {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(HERE, "1")
        .envs(host.reader.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines.map_while(Result::ok).any(|line| line.contains(HELD));
    assert!(held, "the other program does not get the card");
    Other(child)
}

/// Tells that the card is held, until the other side ends it.
pub fn hold() {
    println!("{HELD}");
    let _ = std::io::stdin().read(&mut [0]);
}

/// Opens the first reader with a card so that nobody else may.
pub fn hold_for_itself() {
    let context = pcsc::Context::establish(pcsc::Scope::User).unwrap();
    let readers = context.list_readers_owned().unwrap();
    let mut opened = readers.iter().filter_map(|reader| {
        let exclusive = pcsc::ShareMode::Exclusive;
        context
            .connect(reader, exclusive, pcsc::Protocols::ANY)
            .ok()
    });
    let _card = opened.next().unwrap();
    hold();
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
