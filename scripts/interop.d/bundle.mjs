// Verifies the demo's bundles with @sigstore/verify under the managed keys.

import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";
import { check, finish } from "./checks.mjs";

const demo = process.argv[2];
const read = (name) => readFileSync(`${demo}/${name}`, "utf8");
const always = (publicKey) => ({ publicKey, validFor: () => true });
const pem = (name) => createPublicKey(read(name));
const jwks = JSON.parse(read("trust.jwks.json")).keys.map((jwk) => createPublicKey({ key: jwk, format: "jwk" }));
const pems = read("trust.pem").match(/-----BEGIN[^]*?-----END PUBLIC KEY-----/g).map((text) => createPublicKey(text));
const trustedRoot = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [],
};

function verify(bundle, publicKey) {
  const trust = toTrustMaterial(trustedRoot, () => always(publicKey));
  const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
  verifier.verify(toSignedEntity(bundleFromJSON(bundle)));
}

const softhsm = JSON.parse(read("sbom.sigstore.json"));
const tpm = JSON.parse(read("sbom.tpm.sigstore.json"));
const changed = structuredClone(softhsm);
changed.dsseEnvelope.payload = tpm.dsseEnvelope.payload.slice(0, -8) + "AAAAAAA=";

check("accepts the SoftHSM bundle", true, () => verify(softhsm, pem("release.pub.pem")));
check("accepts the TPM bundle", true, () => verify(tpm, pem("release-tpm.pub.pem")));
check("refuses the other key", false, () => verify(softhsm, pem("release-tpm.pub.pem")));
check("refuses another payload", false, () => verify(changed, pem("release.pub.pem")));
for (const [form, keys] of [["JWK", jwks], ["PEM block", pems]]) {
  check(`accepts the SoftHSM bundle under the first exported ${form}`, true, () => verify(softhsm, keys[0]));
  check(`accepts the TPM bundle under the second exported ${form}`, true, () => verify(tpm, keys[1]));
  check(`refuses the SoftHSM bundle under the second exported ${form}`, false, () => verify(softhsm, keys[1]));
}

finish();
