//! What the daemon asks a driver, frame by frame.

use std::os::unix::net::UnixStream;

use sealwright_driver_api::wire::{self, Answer, Call, FromDriver, ToDriver, WireError, WireInput};
use sealwright_driver_api::{DriverError, HashAlg, Scheme, Signature};

use super::Host;

/// Longer than a card waits for a touch.
const PATIENCE_MS: u32 = 20_000;

/// A P-256 signature over [`message_digest`].
pub fn signing(slot: &str) -> Call {
    Call::Sign {
        key: format!("piv:slot={slot}").parse().unwrap(),
        scheme: Scheme::EcdsaP256Sha256,
        input: WireInput::Digest {
            hash: HashAlg::Sha256,
            bytes: HashAlg::Sha256.digest(&[MESSAGE]),
        },
    }
}

/// What is signed.
pub const MESSAGE: &[u8] = b"m";

/// One signature in slot 9c, by a process of its own.
pub fn sign(host: &mut Host) -> Result<Signature, DriverError> {
    let mut stream = host.connect().unwrap();
    greet(&mut stream).unwrap()?;
    ask(&mut stream, signing("9c"));
    answer(&mut stream).map(|answer| match answer {
        Answer::Signature(signature) => signature,
        other => panic!("no signature: {other:?}"),
    })
}

/// Reads `Hello`; why there is no token, if so.
pub fn greet(stream: &mut UnixStream) -> Result<Result<(), DriverError>, WireError> {
    match wire::read(stream)? {
        FromDriver::Hello(hello) => Ok(hello.token.map(drop)),
        other => panic!("the first frame is no Hello: {other:?}"),
    }
}

pub fn ask(stream: &mut UnixStream, call: Call) {
    ask_for(stream, call, PATIENCE_MS);
}

/// Asks with so many milliseconds left.
pub fn ask_for(stream: &mut UnixStream, call: Call, remaining_ms: u32) {
    let request = ToDriver::Request {
        id: 1,
        remaining_ms,
        call,
    };
    wire::write(stream, &request).unwrap();
}

pub fn answer(stream: &mut UnixStream) -> Result<Answer, DriverError> {
    try_answer(stream).unwrap()
}

/// The answer; an error of the wire where the process ended itself.
pub fn try_answer(stream: &mut UnixStream) -> Result<Result<Answer, DriverError>, WireError> {
    loop {
        match wire::read(stream)? {
            FromDriver::Reply { result, .. } => return Ok(result),
            FromDriver::Progress { .. } => {}
            FromDriver::Hello(_) => panic!("a second Hello"),
        }
    }
}
