//! Faults below the driver trait: what goes wrong in frames.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use sealwright_driver_api::TokenConfig;
use sealwright_driver_api::wire::{self, Answer, FRAME_MAX, FromDriver, Hello};

use crate::fault::{Fault, SLOW_HELLO, Switch};
use crate::settings::Settings;

/// Writes frames as the host made them, or what the fault makes of them.
struct Liar<W> {
    stream: W,
    switch: Switch,
}

/// For [`sealwright_driver_host::Driver::writing_through`].
pub(crate) fn writer(config: &TokenConfig, stream: UnixStream) -> Box<dyn Write + Send> {
    match Settings::of(config).map(Switch::new) {
        Ok(switch) if !switch.is_off() => Box::new(Liar { stream, switch }),
        // A section that cannot be read keeps the token from opening; that error has to get through.
        _ => Box::new(stream),
    }
}

impl<W: Write> Write for Liar<W> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        match frame.get(4..).map(wire::decode) {
            Some(Ok(FromDriver::Hello(hello))) => self.hello(frame, hello)?,
            Some(Ok(FromDriver::Reply {
                id,
                result: Ok(Answer::Signature(signature)),
            })) => {
                let result = Ok(Answer::Signature(signature));
                self.signature(frame, FromDriver::Reply { id: id + 1, result })?;
            }
            _ => self.stream.write_all(frame)?,
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<W: Write> Liar<W> {
    fn hello(&mut self, frame: &[u8], mut hello: Hello) -> io::Result<()> {
        match self.switch.now() {
            Fault::WrongHelloVersion => hello.wire += 1,
            Fault::WrongHelloLabel => {
                hello
                    .token
                    .iter_mut()
                    .for_each(|token| token.label.push('x'));
            }
            Fault::SlowHello => std::thread::sleep(SLOW_HELLO),
            Fault::HangWithoutReading => {
                self.stream.write_all(frame)?;
                // The thread that writes Hello is the one that reads.
                loop {
                    std::thread::park();
                }
            }
            _ => {}
        }
        self.put(&FromDriver::Hello(hello))
    }

    fn signature(&mut self, frame: &[u8], wrong_id: FromDriver) -> io::Result<()> {
        match self.switch.strike() {
            Fault::WrongRequestId => self.put(&wrong_id),
            Fault::MalformedFrame => {
                let mut bytes = frame.to_vec();
                bytes[4..].fill(0xff);
                self.stream.write_all(&bytes)
            }
            Fault::OversizedFrame => {
                let len = u32::try_from(FRAME_MAX + 1).map_err(io::Error::other)?;
                self.stream
                    .write_all(&[&len.to_le_bytes()[..], &vec![0; FRAME_MAX + 1]].concat())
            }
            _ => self.stream.write_all(frame),
        }
    }

    fn put(&mut self, frame: &FromDriver) -> io::Result<()> {
        let bytes = wire::encode(frame).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)
    }
}
