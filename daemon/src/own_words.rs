//! What the daemon says of keys itself: signed with a permit that `core` gave for these very bytes, and verified.

use std::time::{Duration, Instant};

use sealwright_core::dsse::Pae;
use sealwright_core::permit::Permit;
use sealwright_core::sign::ToBeSigned;

use crate::daemon::Daemon;
use crate::pipeline;
use crate::refusal::Refusal;
use crate::seal::{Format, Sealed, seal};

/// How long the key's device may take.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(30);

/// When the caller stops waiting, from now.
pub(crate) fn deadline() -> Instant {
    Instant::now() + DEVICE_TIMEOUT
}

/// The envelope with the payload that `permit` is for.
pub(crate) async fn signed(
    daemon: &Daemon,
    permit: Permit,
    payload_type: &str,
    payload: &[u8],
) -> Result<Sealed, Refusal> {
    let pae = Pae {
        payload_type,
        payload,
    };
    daemon.check_message_size(&permit, pae.prefix().len() + payload.len())?;
    let pae_sha256 = permit.message_sha256();
    let to_be_signed = ToBeSigned::dsse(permit, &pae, pae_sha256)?;
    let unverified = daemon.tokens.sign(vec![to_be_signed]).await?;
    let verified = pipeline::verify(daemon, unverified)?;
    Ok(seal(&verified, payload_type, payload, Format::Dsse))
}
