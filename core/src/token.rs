//! Access tokens that are worth nothing in other hands: who shows one also shows that he holds the key it is bound to.
//!
//! A token (RFC 9068) is verified with its issuer's keys. It names a key of which a fresh proof comes along (DPoP, RFC
//! 9449), or the certificate of the connection (RFC 8705), or both; one that names neither is refused. [`BoundToken`]
//! is made by [`AccessToken::bind`] alone, which has compared all of it.

mod access;
mod bound;
mod claims;
mod make;
mod proof;
mod uri;

pub use access::{ACCESS_MAX, AccessToken, Expected, Issuer, TenantOf, TokenError};
pub use bound::{BindError, BoundToken, Presented, TokenFacts};
pub use claims::SCOPES_MAX;
pub use make::{ProofContents, UnsignedProof};
pub use proof::{Asked, JTI_MAX, PROOF_MAX, Proof, ProofError, Window};
pub use uri::{NotATarget, Target};
