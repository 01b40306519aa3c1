#!/usr/bin/env python3
"""Recomputes every vector of ops/format-crypto.md without any code of Tallystick.

Standard library, and `cryptography` for AES-GCM and Ed25519 (pip install cryptography). Exit code 0: all vectors hold;
1: one differs, is missing or is unknown; 2: cannot run.

    python3 tests/format/crypto_vectors.py [ops/format-crypto.md]
"""

import hashlib
import hmac
import json
import pathlib
import re
import sys
import zlib

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    print("this check needs the Python package 'cryptography' (pip install cryptography)", file=sys.stderr)
    sys.exit(2)

INPUTS = """
    dek ledger event event_type schema subject part_no class nonce plaintext field_proof_path
    mac_key source id body record_kind phone email kek wrap_context wrap_secret wrap_nonce
    pepper api_random sign_seed sign_message
""".split()
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def cbor(item):
    """Deterministic CBOR (RFC 8949 section 4.2.1) of the few types that the formats use."""

    def head(major, value):
        if value < 24:
            return bytes([major << 5 | value])
        for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if value < 1 << (8 * size):
                return bytes([major << 5 | extra]) + value.to_bytes(size, "big")
        raise ValueError("integer too large")

    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return head(0, item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    return head(4, len(item)) + b"".join(cbor(part) for part in item)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def extract(salt, key):
    return mac(salt, key)


def expand(prk, info, length=32):
    """HKDF-Expand (RFC 5869 section 2.3), the general form."""
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = mac(prk, block + info + bytes([counter]))
        out += block
        counter += 1
    return out[:length]


def canonical(value):
    """RFC 8785 text. json.dumps agrees with it for strings and integers, which is all the vectors hold."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def leaves(value, path=""):
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, path + "/" + name.replace("~", "~0").replace("/", "~1"))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}/{index}")
    else:
        yield path, canonical(value)


def split(count):
    """The largest power of two below count."""
    return 1 << (count - 1).bit_length() - 1


def tree(hashes):
    """MTH of RFC 6962 section 2.1, over leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return sha256(b"\x01" + tree(hashes[:k]) + tree(hashes[k:]))


def proof(index, hashes):
    """PATH of RFC 6962 section 2.1.1."""
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if index < k:
        return proof(index, hashes[:k]) + [tree(hashes[k:])]
    return proof(index - k, hashes[k:]) + [tree(hashes[:k])]


def base62(number, length):
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def part_vectors(v):
    out = {}
    out["prk"] = extract(b"tallystick/v1", v["dek"])
    out["key_id"] = expand(out["prk"], b"key-id")[:16]
    out["part_secret"] = expand(out["prk"], cbor(["part", v["event"], v["part_no"][0]]))
    out["part_key"] = expand(out["part_secret"], b"key")
    out["commitment"] = expand(out["part_secret"], b"commit")
    aad = [1, 1, v["ledger"], v["event"], v["event_type"].decode(), v["schema"], v["subject"], v["part_no"][0], v["class"][0],
           out["key_id"]]
    out["aad"] = cbor(aad)
    out["aad_no_subject"] = cbor(aad[:6] + [None] + aad[7:])
    out["sealed"] = v["nonce"] + AESGCM(out["part_key"]).encrypt(v["nonce"], v["plaintext"], out["aad"])
    return out


def field_vectors(v, part_secret):
    out, hashes = {}, []
    found = sorted(leaves(json.loads(v["plaintext"])), key=lambda leaf: leaf[0].encode())
    for index, (path, value) in enumerate(found):
        salt = expand(part_secret, cbor(["salt", path]))
        hashes.append(sha256(b"\x00" + cbor([path, value, salt])))
        out[f"field_{index}_path"], out[f"field_{index}_value"] = path.encode(), value.encode()
        out[f"field_{index}_salt"], out[f"field_{index}_leaf"] = salt, hashes[-1]
    shown = [path.encode() for path, _ in found].index(v["field_proof_path"])
    out["fields_root"] = tree(hashes)
    out["field_proof_index"], out["field_proof_size"] = bytes([shown]), bytes([len(hashes)])
    out["field_proof"] = b"".join(proof(shown, hashes))
    return out


def keyed_vectors(v):
    key, source, name = v["mac_key"], v["source"].decode(), v["id"].decode()
    phone, email, ref = v["phone"].decode(), v["email"].decode(), source + "\x1f" + name
    body = sha256(v["body"])
    out = {
        "dedupe": mac(key, cbor([source, name])),
        "dedupe_own": mac(key, cbor(["", v["event"]])),
        "dedupe_quarantine": mac(key, cbor(["quarantine", source, name, body])),
        "dedupe_quarantine_unnamed": mac(key, cbor(["quarantine", None, None, body])),
        "record_ref": mac(key, cbor([v["record_kind"].decode(), source, name]))[:16],
    }
    for kind, value in (("phone", phone), ("email", email), ("ref", ref)):
        out[f"blind_index_{kind}"] = mac(key, cbor(["blind-index", kind, value]))[:16]
        out[f"suppression_token_{kind}"] = mac(key, cbor(["suppression", kind, value]))
    return out


def key_vectors(v):
    out = {"wrapped": v["wrap_nonce"] + AESGCM(v["kek"]).encrypt(v["wrap_nonce"], v["wrap_secret"], v["wrap_context"])}
    short, secret = v["ledger"][-4:], v["api_random"]
    text = f"tsk_{short.hex()}_" + base62(int.from_bytes(secret, "big"), 43)
    text += base62(zlib.crc32(text.encode()), 6)
    out["api_key"] = text.encode()
    out["api_key_hash"] = mac(v["pepper"], cbor(["api-key", short, secret]))
    signer = Ed25519PrivateKey.from_private_bytes(v["sign_seed"])
    out["sign_public"] = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    out["signature"] = signer.sign(v["sign_message"])
    return out


def recompute(v):
    part = part_vectors(v)
    return {**part, **field_vectors(v, part["part_secret"]), **keyed_vectors(v), **key_vectors(v)}


def parse(text):
    """The `name = hex` lines of every block fenced as ```vectors."""
    vectors = {}
    for block in re.findall(r"^```vectors\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            name, equals, value = line.partition(" = ")
            if not equals or name in vectors:
                raise ValueError(f"bad or repeated vector line: {line}")
            vectors[name] = bytes.fromhex(value)
    return vectors


def main(arguments):
    default = pathlib.Path(__file__).resolve().parents[2] / "ops" / "format-crypto.md"
    path = pathlib.Path(arguments[0]) if arguments else default
    given = parse(path.read_text(encoding="utf-8"))
    absent = [name for name in INPUTS if name not in given]
    if absent:
        print("missing input: " + ", ".join(absent))
        return 1
    computed = recompute({name: given[name] for name in INPUTS})
    wrong = 0
    for name in sorted(set(given) - set(INPUTS) | set(computed)):
        if name not in given:
            print(f"{name}: not in the document")
        elif name not in computed:
            print(f"{name}: nobody computes it")
        elif given[name] != computed[name]:
            print(f"{name}: document {given[name].hex()}, computed {computed[name].hex()}")
        else:
            continue
        wrong += 1
    print(f"{len(computed) - wrong} of {len(computed)} vectors hold" if wrong else f"{len(computed)} vectors hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
