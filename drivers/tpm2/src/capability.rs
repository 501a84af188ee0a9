//! What the TPM says of itself.
//!
//! Always asked with TPM2_GetCapability: `Context::get_tpm_property` would answer from a cache for ever.

use sealwright_driver_api::Scheme;
use tss_esapi::Context;
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::structures::CapabilityData;

use crate::fault::Fault;
use crate::template;

/// Modulus length that stands for RSA when a TPM is asked for its schemes: every TPM with RSA has it.
const RSA_PROBE_BITS: u16 = 2048;

/// One property; zero where the TPM does not have it.
pub(crate) fn property(context: &mut Context, tag: PropertyTag) -> Result<u32, Fault> {
    // One at a time: a list that holds a tag tss-esapi does not know is an error as a whole.
    let (data, _) = context
        .get_capability(CapabilityType::TpmProperties, tag.into(), 1)
        .map_err(|e| Fault::new("asking the TPM for a property", e))?;
    let CapabilityData::TpmProperties(list) = data else {
        return Ok(0);
    };
    Ok(list
        .into_iter()
        .find(|found| found.property() == tag)
        .map_or(0, |found| found.value()))
}

/// The maker's four letters.
pub(crate) fn manufacturer(context: &mut Context) -> Result<String, Fault> {
    Ok(letters(&[property(context, PropertyTag::Manufacturer)?]))
}

/// The maker's name of the model.
pub(crate) fn model(context: &mut Context) -> Result<String, Fault> {
    let mut parts = Vec::new();
    for tag in [
        PropertyTag::VendorString1,
        PropertyTag::VendorString2,
        PropertyTag::VendorString3,
        PropertyTag::VendorString4,
    ] {
        parts.push(property(context, tag)?);
    }
    Ok(letters(&parts))
}

/// Version of its firmware, as two words in hex: makers count in different ways.
pub(crate) fn firmware(context: &mut Context) -> Result<String, Fault> {
    let high = property(context, PropertyTag::FirmwareVersion1)?;
    let low = property(context, PropertyTag::FirmwareVersion2)?;
    Ok(format!("{high:08x}.{low:08x}"))
}

/// The schemes this TPM has. TPM2_TestParms judges algorithm, curve, hash and length together, which the lists
/// of algorithms and curves do not.
pub(crate) fn schemes(context: &mut Context) -> Result<Vec<Scheme>, Fault> {
    let mut schemes = Vec::new();
    for scheme in Scheme::ALL {
        if supports(context, scheme, RSA_PROBE_BITS)? {
            schemes.push(scheme);
        }
    }
    Ok(schemes)
}

/// Whether keys for `scheme`, of that many bits where it is RSA, can be made.
pub(crate) fn supports(
    context: &mut Context,
    scheme: Scheme,
    rsa_bits: u16,
) -> Result<bool, Fault> {
    let Some(parameters) = template::parameters(scheme, rsa_bits) else {
        return Ok(false);
    };
    match context
        .test_parms(parameters)
        .map_err(|e| Fault::new("asking for an algorithm", e))
    {
        Ok(()) => Ok(true),
        Err(fault) if fault.is_verdict() => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// TPM properties hold text as big-endian words, padded with zeros or spaces.
fn letters(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
    let text: String = bytes
        .filter(|b| (0x20..0x7f).contains(b))
        .map(char::from)
        .collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_without_their_padding() {
        assert_eq!(letters(&[0x4942_4d00]), "IBM");
        assert_eq!(letters(&[0x5357_2020, 0x2054_504d, 0, 0]), "SW   TPM");
    }
}
