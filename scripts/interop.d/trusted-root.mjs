// Verifies the demo's certified bundle with @sigstore/verify under the exported trusted_root.json, and the log's
// checkpoint with the log key that stands in it.

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";
import { check, finish } from "./checks.mjs";

const demo = process.argv[2];
const read = (name) => readFileSync(`${demo}/${name}`, "utf8");
const exported = JSON.parse(read("trusted_root.json"));
const bundle = JSON.parse(read("sbom.stamped.sigstore.json"));

function verify(root, document = bundle) {
  // Whoever runs a verifier adds the time stamp authorities that he trusts.
  const whole = { ...root, timestampAuthorities: [JSON.parse(read("timestamp_authority.json"))] };
  const trust = toTrustMaterial(TrustedRoot.fromJSON(whole));
  const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 1 });
  verifier.verify(toSignedEntity(bundleFromJSON(document)));
}

function checkpoint() {
  const [log] = TrustedRoot.fromJSON(exported).tlogs;
  const [text, signatures] = read("checkpoint").split("\n\n");
  const origin = text.split("\n")[0];
  const line = signatures.split("\n").find((l) => l.startsWith(`\u2014 ${origin} `));
  const signature = Buffer.from(line.split(" ")[2], "base64");
  const key = createPublicKey({ key: Buffer.from(log.publicKey.rawBytes), format: "der", type: "spki" });
  if (!verifySignature(null, Buffer.from(`${text}\n`), key, signature.subarray(4))) throw new Error("signature");
  const raw = Buffer.from(key.export({ format: "jwk" }).x, "base64url");
  const id = createHash("sha256").update(`${origin}\n\x01`, "latin1").update(raw).digest();
  if (!id.equals(Buffer.from(log.logId.keyId)) || !id.subarray(0, 4).equals(signature.subarray(0, 4))) throw new Error("log id");
  if (log.baseUrl !== `https://${origin}`) throw new Error(log.baseUrl);
}

const changed = structuredClone(bundle);
changed.dsseEnvelope.payload = Buffer.from("{}").toString("base64");
const ended = structuredClone(exported);
ended.certificateAuthorities.forEach((ca) => { ca.validFor = { start: "2020-01-01T00:00:00Z", end: "2020-01-02T00:00:00Z" }; });

check("accepts the certified bundle under the exported trusted root", true, () => verify(exported));
check("refuses another payload under it", false, () => verify(exported, changed));
check("refuses it without the authority", false, () => verify({ ...exported, certificateAuthorities: [] }));
check("refuses it after the authority's end", false, () => verify(ended));
check("reads the log's key that signs the checkpoint", true, checkpoint);

finish();
