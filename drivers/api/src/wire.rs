//! Frames between daemon and driver: length-prefixed postcard, bounded, versioned, multiplexed by id.
//!
//! A frame is a 32-bit little-endian length of at most [`FRAME_MAX`] and that many bytes. The host speaks
//! first with [`FromDriver::Hello`]; the daemon closes the connection unless version, kind, label and serial
//! are what it expects. A message larger than a frame follows its request in [`ToDriver::Chunk`]s.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Challenge, Descriptor, DriverError, KeyDescription, KeySpec, KeyUri, Nonce, Progress,
    RawEvidence, Scheme, Sha256Digest, Signature,
};
use sealwright_core::scheme::HashAlg;

/// Version of these frames. A change to any of them raises it; there is no negotiation, both come from one build.
pub const WIRE_VERSION: u16 = 4;
/// Largest frame in bytes, without its length prefix.
pub const FRAME_MAX: usize = 64 << 10;
/// Bytes of message in one chunk; leaves room for the frame's own fields.
pub const CHUNK_MAX: usize = FRAME_MAX - 64;
/// Requests in flight on one connection.
pub const IN_FLIGHT_MAX: usize = 256;

/// First frame on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`WIRE_VERSION`] of the driver.
    pub wire: u16,
    /// Version of the driver program.
    pub build: String,
    /// The token, or why it could not be opened.
    pub token: Result<Descriptor, DriverError>,
}

/// What to sign, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireInput {
    /// A digest.
    Digest {
        /// Which hash made it.
        hash: HashAlg,
        /// The digest.
        bytes: Vec<u8>,
    },
    /// A message of this many bytes follows in chunks.
    Message {
        /// Length of the whole message.
        len: u32,
    },
}

/// What a driver is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Is the device there?
    Health,
    /// Find and describe one key.
    Describe {
        /// The key.
        key: KeyUri,
    },
    /// Sign.
    Sign {
        /// The key.
        key: KeyUri,
        /// The scheme.
        scheme: Scheme,
        /// The input.
        input: WireInput,
    },
    /// Make a key.
    Generate {
        /// What kind, and where.
        spec: KeySpec,
    },
    /// Give evidence of a key's origin.
    Attest {
        /// The key.
        key: KeyUri,
        /// What the asker chose.
        nonce: Nonce,
    },
    /// Destroy a key.
    Destroy {
        /// The key.
        key: KeyUri,
        /// SHA-256 of its SubjectPublicKeyInfo.
        spki_sha256: Sha256Digest,
    },
    /// Show that the key which signed evidence is in the device that it names.
    Activate {
        /// What only that device can answer.
        challenge: Challenge,
    },
}

/// Daemon to driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDriver {
    /// A new request.
    Request {
        /// Chosen by the daemon, unique among those in flight.
        id: u64,
        /// Milliseconds the caller still waits.
        remaining_ms: u32,
        /// What is asked.
        call: Call,
    },
    /// The next part of a request's message.
    Chunk {
        /// The request.
        id: u64,
        /// At most [`CHUNK_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// Nobody waits for this request any more.
    Cancel {
        /// The request.
        id: u64,
    },
}

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Call::Health`].
    Healthy,
    /// To [`Call::Describe`] and [`Call::Generate`].
    Key(KeyDescription),
    /// To [`Call::Sign`].
    Signature(Signature),
    /// To [`Call::Attest`].
    Evidence(RawEvidence),
    /// To [`Call::Destroy`].
    Destroyed,
    /// To [`Call::Activate`].
    Activated(Vec<u8>),
}

/// Driver to daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDriver {
    /// First frame.
    Hello(Hello),
    /// A request waits for something.
    Progress {
        /// The request.
        id: u64,
        /// For what.
        progress: Progress,
    },
    /// A request is done.
    Reply {
        /// The request.
        id: u64,
        /// How it ended.
        result: Result<Answer, DriverError>,
    },
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer closed between two frames.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection failed, or ended inside a frame.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// Length prefix over the limit, or zero.
    #[error("a frame of {0} bytes was announced; frames have 1 to {FRAME_MAX}")]
    Length(usize),
    /// The bytes are no frame, or have bytes left over.
    #[error("the bytes are not a frame of wire version {WIRE_VERSION}")]
    Malformed,
}

/// Encodes a frame with its length prefix.
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, WireError> {
    let mut out = postcard::to_extend(frame, vec![0; 4]).map_err(|_| WireError::Malformed)?;
    let len = out.len() - 4;
    let prefix = u32::try_from(len)
        .ok()
        .filter(|_| len <= FRAME_MAX)
        .ok_or(WireError::Length(len))?;
    out[..4].copy_from_slice(&prefix.to_le_bytes());
    Ok(out)
}

/// Checks a length prefix.
pub fn frame_len(prefix: [u8; 4]) -> Result<usize, WireError> {
    let len = u32::from_le_bytes(prefix) as usize;
    if (1..=FRAME_MAX).contains(&len) {
        Ok(len)
    } else {
        Err(WireError::Length(len))
    }
}

/// Decodes the bytes of one frame, all of them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(bytes) {
        Ok((frame, [])) => Ok(frame),
        _ => Err(WireError::Malformed),
    }
}

/// Reads one frame from a blocking stream.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> Result<T, WireError> {
    let mut prefix = [0; 4];
    match stream.read(&mut prefix)? {
        0 => return Err(WireError::Closed),
        n => stream.read_exact(&mut prefix[n..])?,
    }
    let mut bytes = vec![0; frame_len(prefix)?];
    stream.read_exact(&mut bytes)?;
    decode(&bytes)
}

/// Writes one frame to a blocking stream in one call.
pub fn write<T: Serialize>(stream: &mut impl Write, frame: &T) -> Result<(), WireError> {
    Ok(stream.write_all(&encode(frame)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sealwright_core::webauthn::Assertion;

    fn request() -> ToDriver {
        let key = "pkcs11:object=release".parse().unwrap();
        let input = WireInput::Digest {
            hash: HashAlg::Sha256,
            bytes: vec![7; 32],
        };
        let call = Call::Sign {
            key,
            scheme: Scheme::EcdsaP256Sha256,
            input,
        };
        ToDriver::Request {
            id: 1,
            remaining_ms: 250,
            call,
        }
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, &request()).unwrap();
        write(&mut bytes, &ToDriver::Cancel { id: 9 }).unwrap();
        let mut stream = bytes.as_slice();
        assert_eq!(read::<ToDriver>(&mut stream).unwrap(), request());
        assert_eq!(
            read::<ToDriver>(&mut stream).unwrap(),
            ToDriver::Cancel { id: 9 }
        );
        assert!(matches!(
            read::<ToDriver>(&mut stream),
            Err(WireError::Closed)
        ));
    }

    #[test]
    fn an_assertion_is_its_signature_and_then_its_data() {
        let assertion = Assertion {
            signature: vec![9],
            authenticator_data: vec![7, 8],
        };
        let bytes = encode(&Signature::WebAuthn(assertion)).unwrap();
        assert_eq!(bytes[4..], [1, 1, 9, 2, 7, 8]);
    }

    #[test]
    fn bytes_after_a_frame_are_refused() {
        let mut bytes = encode(&request()).unwrap().split_off(4);
        bytes.push(0);
        assert!(matches!(
            decode::<ToDriver>(&bytes),
            Err(WireError::Malformed)
        ));
    }

    #[test]
    fn frames_over_the_limit_are_neither_sent_nor_read() {
        let chunk = |len| ToDriver::Chunk {
            id: u64::MAX,
            bytes: vec![0; len],
        };
        assert!(encode(&chunk(CHUNK_MAX)).is_ok());
        assert!(matches!(
            encode(&chunk(FRAME_MAX)),
            Err(WireError::Length(_))
        ));
        assert!(matches!(frame_len([0; 4]), Err(WireError::Length(0))));
        assert!(frame_len(u32::try_from(FRAME_MAX).unwrap().to_le_bytes()).is_ok());
        assert!(frame_len(u32::try_from(FRAME_MAX + 1).unwrap().to_le_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<ToDriver>(&bytes);
            let _ = decode::<FromDriver>(&bytes);
            let _ = read::<FromDriver>(&mut bytes.as_slice());
        }
    }
}
