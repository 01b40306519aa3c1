#!/usr/bin/env python3
"""Recomputes the worked example of ops/format-log.md with the standard library alone.

It shares no code with src/chain: it builds the entries from their fields, the tree from its definition (RFC 6962 section
2.1), the signature from RFC 8032, and compares every block of the document. With --print it writes the blocks instead.
"""

import base64
import hashlib
import pathlib
import re
import sys

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "ops" / "format-log.md"
ORIGIN = "log.example.com/demo"
SEED = bytes(range(32))


def sha256(data):
    return hashlib.sha256(data).digest()


# Deterministic CBOR, RFC 8949 section 4.2.1.


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | code]) + value.to_bytes(size, "big")
    raise ValueError("over 64 bits")


def cbor(value):
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    pairs = sorted((cbor(key), cbor(item)) for key, item in value.items() if item is not None)
    return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)


# The tree, RFC 6962 section 2.1.


def leaf_hash(entry):
    return sha256(b"\x00" + entry)


def root(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:]))


def path(index, leaves):
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return path(index, leaves[:split]) + [root(leaves[split:])]
    return path(index - split, leaves[split:]) + [root(leaves[:split])]


def consistency(old, leaves, whole=True):
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= split:
        return consistency(old, leaves[:split], whole) + [root(leaves[split:])]
    return consistency(old - split, leaves[split:], False) + [root(leaves[:split])]


# Ed25519, RFC 8032 section 5.1.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def recover_x(y):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if x % 2 == 0 else P - x


def add(a, b):
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, P - 2, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, P - 2, P) % P
    return x, y


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def compress(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = (recover_x(BASE_Y), BASE_Y)


def secret_scalar(seed):
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254, digest[32:]


def public_key(seed):
    return compress(multiply(secret_scalar(seed)[0], BASE))


def sign(seed, message):
    scalar, prefix = secret_scalar(seed)
    nonce = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
    commitment = compress(multiply(nonce, BASE))
    challenge = hashlib.sha512(commitment + public_key(seed) + message).digest()
    response = (nonce + int.from_bytes(challenge, "little") * scalar) % ORDER
    return commitment + response.to_bytes(32, "little")


# The example.


def b64(data):
    return base64.b64encode(data).decode()


def uuid(text):
    return bytes.fromhex(text.replace("-", ""))


LEDGER = uuid("01994c61-0000-7000-8000-00000000001e")
SUBJECT = uuid("01994c61-0001-7000-8000-000000000005")
ACTOR = uuid("01994c61-0002-7000-8000-00000000000a")
RECORDED = 1_793_724_000_000_000


def label(text):
    """A stand-in for a digest, key id or commitment whose making is not this document's matter."""
    return sha256(text.encode())


def sealed(kind, retention_class, name):
    part = {1: kind, 2: 1, 3: retention_class, 4: label(name + " key")[:16], 5: label(name + " sealed")}
    part[6] = label(name + " commitment")
    if kind == 2:
        part[7] = label(name + " fields")
    return part


def entry(position, previous, kind, parts, sequence=None, back=None, cause=None):
    return cbor({
        1: 1,
        2: LEDGER,
        3: position,
        4: previous,
        5: uuid("01994c61-0003-7000-8000-%012x" % position),
        6: kind,
        7: label(kind + " schema"),
        8: SUBJECT if sequence else None,
        9: sequence,
        10: back,
        11: RECORDED + position * 1_000_000 - 1_000_000 if position else RECORDED - 1_000_000,
        12: ACTOR,
        13: cause,
        15: label("dedupe %d" % position),
        16: parts,
    })


def signed(size, tree_root):
    text = "%s\n%d\n%s\n" % (ORIGIN, size, b64(tree_root))
    key_id = sha256(ORIGIN.encode() + b"\n\x01" + public_key(SEED))[:4]
    return "%s\n— %s %s\n" % (text, ORIGIN, b64(key_id + sign(SEED, text.encode())))


def blocks():
    """Every block of the document, by label."""
    public = {1: 0, 2: 0, 3: 10, 5: label("created public")}
    created = entry(0, bytes(32), "ledger.created", [public])
    consent = [sealed(1, 1, "business"), sealed(2, 1, "personal"), sealed(3, 8, "raw")]
    granted = entry(1, leaf_hash(created), "consent.granted", consent, 1)
    revoked = entry(2, leaf_hash(granted), "consent.revoked", [sealed(1, 1, "revoked")], 2, 1, 1)
    entries = [created, granted, revoked]
    leaves = [leaf_hash(bytes_) for bytes_ in entries]
    subject_leaf = cbor([SUBJECT, 2, 2])
    checkpoint = signed(3, root(leaves))
    key = b"\x01" + public_key(SEED)
    results = ["leaf-%d %s" % (number, leaf.hex()) for number, leaf in enumerate(leaves)]
    results += ["root-2 " + root(leaves[:2]).hex(), "root-3 " + root(leaves).hex()]
    results += ["subjects-root-3 " + leaf_hash(subject_leaf).hex()]
    results += ["verifier-key %s+%s+%s" % (ORIGIN, sha256(ORIGIN.encode() + b"\n" + key)[:4].hex(), b64(key))]
    proof = "c2sp.org/tlog-proof@v1\nindex 1\n" + "".join(b64(h) + "\n" for h in path(1, leaves))
    growth = "old 2\n" + "".join(b64(h) + "\n" for h in consistency(2, leaves))
    return {
        **{"hex entry-%d" % number: bytes_ for number, bytes_ in enumerate(entries)},
        "hex subject-leaf": subject_leaf,
        "hex seed": SEED,
        "text results": "\n".join(results) + "\n",
        "text checkpoint": checkpoint,
        "text tlog-proof": proof + "\n" + checkpoint,
        "text consistency": growth + "\n" + checkpoint,
    }


def main():
    expected = blocks()
    if "--print" in sys.argv:
        for name, content in expected.items():
            print("```%s\n%s\n```" % (name, content.hex() if isinstance(content, bytes) else content))
        return 0
    document = DOCUMENT.read_text(encoding="utf-8")
    wrong = []
    for name, content in expected.items():
        found = re.search(r"^```%s\n(.*?)^```" % re.escape(name), document, re.M | re.S)
        text = found.group(1) if found else ""
        if isinstance(content, bytes):
            text = bytes.fromhex("".join(line.split(";")[0] for line in text.splitlines()))
        if text != content:
            wrong.append(name)
    for name in wrong:
        print("FAILED:", name)
    print("%d of %d blocks hold" % (len(expected) - len(wrong), len(expected)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
