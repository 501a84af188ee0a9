"""Verifies the demo's envelopes with securesystemslib, thresholds included."""

import base64
import copy
import json
import pathlib
import sys

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

demo = pathlib.Path(sys.argv[1])


def key(name, keyid):
    public = load_pem_public_key((demo / name).read_bytes())
    return SSlibKey.from_crypto(public, keyid=keyid)


def key_of(version):
    public = load_der_public_key(base64.b64decode(version["spki"], validate=True))
    return SSlibKey.from_crypto(public, keyid=version["keyid"])


def envelope(name):
    document = json.loads((demo / name).read_text())
    return document.get("dsseEnvelope", document)


def verified_by(document, keys, threshold):
    # from_dict takes its argument apart.
    return Envelope.from_dict(copy.deepcopy(document)).verify(keys, threshold)


passed = failed = 0


def check(what, test):
    global passed, failed
    try:
        test()
        passed += 1
        print(f"test securesystemslib {what} ... ok")
    except Exception as error:  # every failure is a result, not a stop
        failed += 1
        print(f"test securesystemslib {what} ... FAILED: {error!r}")


def must_refuse(document, keys, threshold):
    try:
        verified_by(document, keys, threshold)
    except VerificationError:
        return
    raise AssertionError("accepted")


multi = envelope("sbom.multi.dsse.json")
ids = [signature["keyid"] for signature in multi["signatures"]]
release, tpm = key("release.pub.pem", ids[0]), key("release-tpm.pub.pem", ids[1])
# What signed it is checked below; the key ids here are those of the document.
trust = json.loads(base64.b64decode(envelope("trust.json")["payload"], validate=True))
trusted = {entry["name"]: key_of(entry["versions"][0]) for entry in trust["keys"]}
single = envelope("sbom.sigstore.json")
changed = dict(single, payload=multi["payload"][:-8] + "AAAAAAA=")

check("accepts two of two signatures", lambda: verified_by(multi, [release, tpm], 2))
check("accepts one of two signatures", lambda: verified_by(multi, [tpm], 1))
check("accepts the envelope in the bundle", lambda: verified_by(single, [release], 1))
check(
    "accepts two of two under the keys and key ids of the trust document",
    lambda: verified_by(multi, [trusted["default/release"], trusted["default/release-tpm"]], 2),
)
check("accepts the trust document's own signature", lambda: verified_by(envelope("trust.json"), [release], 1))
check("refuses the trust document under another key", lambda: must_refuse(envelope("trust.json"), [tpm], 1))
check("refuses the trust document's other key", lambda: must_refuse(single, [trusted["default/release-tpm"]], 1))
check("refuses a threshold of two for one signature", lambda: must_refuse(single, [release, tpm], 2))
check("refuses another payload", lambda: must_refuse(changed, [release], 1))

print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed; 0 ignored")
sys.exit(bool(failed))
