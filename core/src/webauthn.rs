//! Keys of the FIDO2 kind (WebAuthn level 3): what they sign, and how that is verified (`docs/fido2.md`).
//!
//! Such a key never signs a message itself but `authenticatorData ‖ SHA-256(message)`. So its signature is none that a
//! verifier of plain ECDSA accepts, and no Sigstore client does. What a verifier has to hold it to beside the public key
//! is fixed by the scheme: whose key it is ([`RP_ID`]), and whether a person has to have shown a PIN or a finger.

mod assertion;
mod attestation;
mod authenticator_data;
mod cose;

pub use self::assertion::{Assertion, AssertionError, Demand};
pub use self::attestation::{Attestation, AttestationError, Makers, Vouching};
pub use self::authenticator_data::{AttestedCredential, AuthenticatorData, DataError};
pub use self::cose::CoseError;

/// The relying party of every key that signs for this product. No web site has this id, so no browser can be brought to
/// ask a key for a signature under it.
pub const RP_ID: &str = "sealwright:dsse";
