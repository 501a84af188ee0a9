//! `[security]`: access tokens that are bound to their holder.

use std::path::{Path, PathBuf};

use sealwright_core::jose::scheme_of;
use sealwright_core::name::Tenant;
use sealwright_core::scheme::Scheme;
use sealwright_core::token::{Target, TenantOf};
use serde::Deserialize;

/// `[security]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// How tokens are bound.
    #[serde(rename = "senderConstraints")]
    pub sender_constraints: SenderConstraints,
    /// Whose tokens count; without one no token does.
    #[serde(rename = "issuer")]
    pub issuers: Vec<IssuerEntry>,
}

/// `[security.senderConstraints]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SenderConstraints {
    /// Scheme and authority of `htu`: the name under which clients know the API. Default
    /// `https://sealwright.localhost`.
    pub origin: String,
    /// What has to be among the `aud` of a token. Default `https://sealwright.localhost`.
    pub audience: String,
    /// How far the clocks of issuers and clients may be ahead, in seconds. Default 5.
    pub clock_skew_s: u32,
    /// Proofs of possession (RFC 9449).
    pub dpop: Dpop,
    /// Client certificates (RFC 8705).
    pub mtls: Mtls,
}

impl Default for SenderConstraints {
    fn default() -> Self {
        Self {
            origin: "https://sealwright.localhost".to_owned(),
            audience: "https://sealwright.localhost".to_owned(),
            clock_skew_s: 5,
            dpop: Dpop::default(),
            mtls: Mtls::default(),
        }
    }
}

/// `[security.senderConstraints.dpop]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dpop {
    /// Tenants whose callers need a token that is bound to a DPoP key, for everything that policy decides on.
    pub tenants: Vec<Tenant>,
    /// Algorithms of proofs. Default `ES256`, `ES384`, `EdDSA`.
    pub algorithms: Vec<String>,
    /// How old a proof may be, in seconds. Default 60.
    pub replay_window_s: u32,
    /// How long a nonce is the newest, in seconds; it is taken for as long again. 0: none is asked for. Default 120.
    pub nonce_s: u32,
    /// Proofs that are remembered. Default 1 000 000.
    pub replay_max: usize,
    /// Of them, those of one key. Default 100 000.
    pub replay_max_per_key: usize,
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            tenants: Vec::new(),
            algorithms: ["ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec(),
            replay_window_s: 60,
            nonce_s: 120,
            replay_max: 1_000_000,
            replay_max_per_key: 100_000,
        }
    }
}

/// `[security.senderConstraints.mtls]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mtls {
    /// Tenants whose callers need a token that is bound to their certificate, likewise.
    pub tenants: Vec<Tenant>,
}

/// `[[security.issuer]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    /// `iss` of its tokens.
    pub id: String,
    /// File with its JSON Web Key Set; read anew on SIGHUP.
    pub jwks: PathBuf,
    /// The tenant of all its tokens. Default `default`, where no claim is named.
    #[serde(default)]
    pub tenant: Option<Tenant>,
    /// The claim that names a token's tenant, where they are of several.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// Algorithms of its tokens. Default `ES256`, `ES384`, `EdDSA`, `PS256`, `RS256`.
    #[serde(default = "all_algorithms")]
    pub algorithms: Vec<String>,
}

fn all_algorithms() -> Vec<String> {
    let all = ["ES256", "ES384", "EdDSA", "PS256", "RS256"];
    all.map(str::to_owned).to_vec()
}

/// The schemes with these names; the configuration's check has refused unknown ones.
pub fn schemes(names: &[String]) -> Vec<Scheme> {
    names
        .iter()
        .filter_map(|name| scheme_of(name).ok())
        .collect()
}

impl IssuerEntry {
    /// How the tenant of a token is known.
    pub fn tenant_of(&self) -> TenantOf {
        match &self.tenant_claim {
            Some(claim) => TenantOf::Claim(claim.clone()),
            None => TenantOf::Fixed(self.tenant.clone().unwrap_or_default()),
        }
    }
}

impl Security {
    pub(super) fn make_absolute(&mut self, base: &Path) {
        for issuer in &mut self.issuers {
            issuer.jwks = base.join(&issuer.jwks);
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let constraints = &self.sender_constraints;
        let at = "[security.senderConstraints]";
        Target::parse(&constraints.origin).map_err(|e| format!("{at} origin: {e}"))?;
        if constraints.origin.ends_with('/') || constraints.origin.contains(['?', '#']) {
            return Err(format!(
                "{at} origin is a scheme and a name, without a path"
            ));
        }
        check_algorithms(&constraints.dpop.algorithms)
            .map_err(|e| format!("[security.senderConstraints.dpop] {e}"))?;
        if constraints.dpop.replay_window_s == 0 || constraints.dpop.replay_max == 0 {
            let at = "[security.senderConstraints.dpop]";
            return Err(format!(
                "{at} replay_window_s and replay_max are at least 1"
            ));
        }
        self.issuers.iter().try_for_each(IssuerEntry::check)?;
        let ids = self.issuers.iter().map(|issuer| issuer.id.as_str());
        super::twice(ids).map_or(Ok(()), |id| {
            Err(format!("[[security.issuer]] {id} stands twice"))
        })
    }
}

impl IssuerEntry {
    fn check(&self) -> Result<(), String> {
        let at = format!("[[security.issuer]] {}", self.id);
        if self.id.is_empty() {
            return Err("[[security.issuer]]: id is empty".to_owned());
        }
        if self.tenant.is_some() && self.tenant_claim.is_some() {
            return Err(format!("{at}: there is tenant or tenant_claim, not both"));
        }
        check_algorithms(&self.algorithms).map_err(|e| format!("{at}: {e}"))
    }
}

fn check_algorithms(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("algorithms is empty".to_owned());
    }
    let unknown = names.iter().find_map(|name| scheme_of(name).err());
    unknown.map_or(Ok(()), |unknown| Err(unknown.to_string()))
}
