//! The PIN, which is shown so that it never locks the security key.

use sealwright_driver_api::{DriverError, ErrorClass};
use sealwright_driver_host::{Secret, Secrets};
use zeroize::Zeroizing;

use crate::device::Device;
use crate::fault::fault;

/// A security key counts down from eight, over all its life without a right PIN. The last tries are the owner's: after
/// them only a reset helps.
const TRIES_KEPT: i32 = 3;
/// Bytes of a PIN (CTAP 2.1 section 6.5.1); the library panics at a longer one.
const LENGTH: std::ops::RangeInclusive<usize> = 4..=63;

/// The PIN, after the security key has accepted it. Only this first showing can be a wrong one, so only it stands under
/// the login's mark: a process that ends while it waits for a touch leaves none.
pub(crate) fn shown(
    device: &mut Device,
    secrets: &Secrets,
) -> Result<Zeroizing<String>, DriverError> {
    let what = format!("{}: showing the PIN", device.name);
    let failed = |text: String| fault(&what, &text);
    let tries = device
        .key
        .get_pin_retries()
        .map_err(|e| failed(e.to_string()))?;
    if tries <= TRIES_KEPT {
        let detail = format!(
            "{what}: {tries} tries are left before it is lost with all its keys, and stay yours: show the right PIN once, as with `fido2-token -L -r`"
        );
        return Err(DriverError::new(ErrorClass::Auth, "", detail));
    }
    // Where it knows protocol 2, with that; a failure here shows itself in the next call.
    let _ = device.key.set_pin_uv_auth_protocol_two();
    secrets.login(|secret| {
        let pin = text(secret)?;
        let token = device.key.get_pin_token(&pin);
        token.map_err(|e| failed(e.to_string()))?;
        Ok(pin)
    })
}

fn text(secret: &Secret) -> Result<Zeroizing<String>, DriverError> {
    let text = secret.as_str()?;
    if !LENGTH.contains(&text.len()) {
        let (min, max) = (LENGTH.start(), LENGTH.end());
        let detail = format!("the PIN of a security key has {min} to {max} bytes");
        return Err(DriverError::config(detail));
    }
    Ok(Zeroizing::new(text.to_owned()))
}
