//! Empties the TPM's slots where no resource manager does it.
//!
//! A process that was killed leaves its keys and sessions in the TPM, which has as few as three slots for each.

use tss_esapi::Context;
use tss_esapi::constants::CapabilityType;
use tss_esapi::constants::tss::{TPM2_LOADED_SESSION_FIRST, TPM2_TRANSIENT_FIRST};
use tss_esapi::handles::TpmHandle;
use tss_esapi::structures::CapabilityData;

use crate::fault::Fault;

/// More handles than any TPM holds at a time.
const HANDLES_MAX: u32 = 64;

/// Flushes every transient object and every loaded session. Only where this driver has the TPM for itself.
pub(crate) fn all_slots(context: &mut Context) -> Result<(), Fault> {
    for first in [TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST] {
        for handle in handles(context, first)? {
            flush(context, handle)?;
        }
    }
    Ok(())
}

fn handles(context: &mut Context, first: u32) -> Result<Vec<TpmHandle>, Fault> {
    let (data, _) = context
        .get_capability(CapabilityType::Handles, first, HANDLES_MAX)
        .map_err(|e| Fault::new("listing the TPM's handles", e))?;
    Ok(match data {
        CapabilityData::Handles(list) => list.into_inner(),
        _ => Vec::new(),
    })
}

fn flush(context: &mut Context, handle: TpmHandle) -> Result<(), Fault> {
    context
        .tr_from_tpm_public(handle)
        .and_then(|object| context.flush_context(object))
        .map_err(|e| Fault::new("flushing what another process left in the TPM", e))?;
    tracing::info!(?handle, "flushed what another process left in the TPM");
    Ok(())
}
