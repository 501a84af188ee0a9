//! A tap on the wire between driver and TPM, where an interposer would sit on a real bus.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sealwright_softhsm_tests::swtpm::{PortPair, Swtpm};

/// Passes everything on and remembers it. Its threads end with the test's process.
pub struct Tap {
    ports: PortPair,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub fn on(tpm: &Swtpm) -> Self {
        let tap = Self {
            ports: PortPair::claim(),
            heard: Arc::default(),
        };
        for offset in [0, 1] {
            let listener = TcpListener::bind(("127.0.0.1", tap.ports.first() + offset)).unwrap();
            let (heard, to) = (Arc::clone(&tap.heard), tpm.port() + offset);
            thread::spawn(move || {
                for from in listener.incoming() {
                    let to = TcpStream::connect(("127.0.0.1", to)).unwrap();
                    pass_on(from.unwrap(), to, &heard);
                }
            });
        }
        tap
    }

    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.ports.first())
    }

    /// Whether these bytes went by, in either direction.
    pub fn heard(&self, secret: &[u8]) -> bool {
        self.count(secret) > 0
    }

    /// How often these bytes went by.
    pub fn count(&self, bytes: &[u8]) -> usize {
        let heard = self.heard.lock().unwrap();
        heard
            .windows(bytes.len())
            .filter(|window| *window == bytes)
            .count()
    }
}

fn pass_on(driver: TcpStream, tpm: TcpStream, heard: &Arc<Mutex<Vec<u8>>>) {
    let directions = [
        (driver.try_clone().unwrap(), tpm.try_clone().unwrap()),
        (tpm, driver),
    ];
    for (from, to) in directions {
        let heard = Arc::clone(heard);
        thread::spawn(move || copy(from, to, &heard));
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return to.shutdown(Shutdown::Write);
        }
        heard.lock().unwrap().extend_from_slice(&buffer[..n]);
        to.write_all(&buffer[..n])?;
    }
}
