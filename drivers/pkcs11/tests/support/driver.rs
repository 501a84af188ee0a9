//! The driver process behind its socket, as the daemon sees it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus};

use sealwright_driver_api::wire::{
    self, Answer, CHUNK_MAX, Call, FromDriver, Hello, ToDriver, WireInput,
};
use sealwright_driver_api::{
    Descriptor, DriverError, KeyDescription, KeySpec, KeyUri, Scheme, SignInput, Signature,
};
use sealwright_softhsm_tests::activated::{self, Activated};
use sealwright_softhsm_tests::softhsm::{CONF_VARIABLE, SoftHsm};

/// How long a call may take; generous, because RSA keys are made under load.
const CALL_LIMIT_MS: u32 = 60_000;

/// A running driver with one connection.
pub struct Driver {
    process: Activated,
    stream: UnixStream,
    next_id: u64,
    hello: Hello,
}

impl Driver {
    /// Starts the driver and reads its greeting.
    pub fn start(hsm: &SoftHsm, config: &Path) -> Self {
        let (mut process, program) = activated(&hsm.conf(), config);
        let mut stream = process.connect(&program).unwrap();
        let FromDriver::Hello(hello) = wire::read(&mut stream).unwrap() else {
            panic!("the first frame is no Hello");
        };
        Self {
            process,
            stream,
            next_id: 1,
            hello,
        }
    }

    /// What the driver says of its token, or why it has none.
    pub fn token(&self) -> Result<&Descriptor, &DriverError> {
        self.hello.token.as_ref()
    }

    /// Sends a request without waiting; a message goes in chunks.
    pub fn send(&mut self, call: Call, message: &[u8]) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = ToDriver::Request {
            id,
            remaining_ms: CALL_LIMIT_MS,
            call,
        };
        wire::write(&mut self.stream, &request).unwrap();
        for bytes in message.chunks(CHUNK_MAX) {
            let chunk = ToDriver::Chunk {
                id,
                bytes: bytes.to_vec(),
            };
            wire::write(&mut self.stream, &chunk).unwrap();
        }
        id
    }

    /// The next reply, whichever request it answers.
    pub fn reply(&mut self) -> (u64, Result<Answer, DriverError>) {
        loop {
            match wire::read(&mut self.stream).unwrap() {
                FromDriver::Reply { id, result } => return (id, result),
                FromDriver::Progress { .. } => {}
                FromDriver::Hello(_) => panic!("a second Hello"),
            }
        }
    }

    pub fn call(&mut self, call: Call) -> Result<Answer, DriverError> {
        let id = self.send(call, &[]);
        let (answered, result) = self.reply();
        assert_eq!(answered, id);
        result
    }

    pub fn describe(&mut self, uri: &str) -> Result<KeyDescription, DriverError> {
        self.call(Call::Describe { key: key(uri) }).map(into_key)
    }

    pub fn generate(
        &mut self,
        uri: &str,
        scheme: Scheme,
        rsa_bits: u16,
    ) -> Result<KeyDescription, DriverError> {
        let spec = KeySpec {
            uri: key(uri),
            scheme,
            rsa_bits,
        };
        self.call(Call::Generate { spec }).map(into_key)
    }

    /// Sends a request to sign `message`.
    pub fn send_sign(&mut self, uri: &str, scheme: Scheme, message: &[u8]) -> u64 {
        match SignInput::of(scheme, &[message]) {
            SignInput::Digest { hash, bytes } => {
                let input = WireInput::Digest { hash, bytes };
                self.send(
                    Call::Sign {
                        key: key(uri),
                        scheme,
                        input,
                    },
                    &[],
                )
            }
            SignInput::Message(message) => {
                let input = WireInput::Message {
                    len: message.len().try_into().unwrap(),
                };
                self.send(
                    Call::Sign {
                        key: key(uri),
                        scheme,
                        input,
                    },
                    &message,
                )
            }
        }
    }

    pub fn sign(
        &mut self,
        uri: &str,
        scheme: Scheme,
        message: &[u8],
    ) -> Result<Vec<u8>, DriverError> {
        let id = self.send_sign(uri, scheme, message);
        let (answered, result) = self.reply();
        assert_eq!(answered, id);
        result.map(into_signature)
    }

    /// Waits until the process ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// A socket for a driver with this configuration, and its program.
pub fn activated(softhsm_conf: &Path, config: &Path) -> (Activated, Command) {
    let socket = config.with_extension("sock");
    let _ = fs::remove_file(&socket);
    let mut program = activated::driver(env!("CARGO_BIN_EXE_sealwright-driver-pkcs11"), config);
    program.env(CONF_VARIABLE, softhsm_conf);
    (Activated::at(&socket).unwrap(), program)
}

pub fn key(uri: &str) -> KeyUri {
    uri.parse().unwrap()
}

pub fn into_signature(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Signature(Signature::Raw(raw)) => raw,
        other => panic!("no raw signature: {other:?}"),
    }
}

fn into_key(answer: Answer) -> KeyDescription {
    match answer {
        Answer::Key(key) => key,
        other => panic!("no key: {other:?}"),
    }
}
