//! Access tokens and DPoP proofs under a verifier that takes every signature, so that the claims are reached.
#![no_main]

use sealwright_core::jose::{Compact, JwkSet};
use sealwright_core::name::Tenant;
use sealwright_core::scheme::Scheme;
use sealwright_core::sign::{SignInput, Verifier};
use sealwright_core::time::Timestamp;
use sealwright_core::token::{AccessToken, Asked, Expected, Issuer, Proof, Target, TenantOf, Window};

struct Everything;

impl Verifier for Everything {
    fn verifies(&self, _: &[u8], _: Scheme, _: &SignInput, _: &[u8]) -> bool {
        true
    }
}

const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Compact::parse(text, 1 << 16);
    let issuers = [
        issuer("", TenantOf::Claim("tenant".to_owned())),
        issuer("i", TenantOf::Fixed(Tenant::default())),
    ];
    let expected = Expected { issuers: &issuers, audience: "", skew_s: 5 };
    let now = Timestamp::from_unix_millis(1_800_000_000_000);
    let _ = AccessToken::verify(text, &expected, now, &Everything);
    let target = Target::parse("https://sealwright.localhost/v1/sign").expect("a target");
    let asked = Asked { method: "POST", target: &target, token: None };
    let window = Window { past_s: u32::MAX, future_s: u32::MAX };
    let _ = Proof::check(text, &asked, &Scheme::ALL, (now, window), &Everything);
    let _ = Target::parse(text);
});

fn issuer(id: &str, tenant: TenantOf) -> Issuer {
    Issuer {
        id: id.to_owned(),
        keys: JwkSet::parse(KEYS).expect("a set"),
        algorithms: Scheme::ALL.to_vec(),
        tenant,
    }
}
