#!/usr/bin/env python3
"""Verifies an evidence bundle without any code of Tallystick, from ops/format-bundle.md.

Standard library, and `cryptography` for AES-GCM and Ed25519 (pip install cryptography). Exit code 0: everything holds;
3: something does not, and what is printed; 2: cannot run.

    python3 tests/format/verify_bundle.py BUNDLE.zip [VERIFIER_KEY]

Without a verifier key the log's own statement of its key is used, which shows that the bundle is of one piece and not
whose it is.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
import sys
import uuid
import zlib

try:
    from cryptography.exceptions import InvalidSignature, InvalidTag
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    print("this check needs the Python package 'cryptography' (pip install cryptography)", file=sys.stderr)
    sys.exit(2)

PUBLIC, BUSINESS, PERSONAL, RAW = range(4)
QUARANTINE = 9
FIXED = {"manifest.json", "manifest.sig", "checkpoint", "disclosures.json", "index.html", "verify.html", "README.txt", "certification.txt",
         "report.pdf", "tables/data.csv", "tables/data.json", "tables/portability.json", "tables/processing.csv",
         "tables/requests.csv", "tables/signals.csv", "tables/summary.csv"}


HEX32, UUID = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
PROFILES = {"accounting", "article_30", "audit", "ccpa_log", "dsar", "erasure_certificate", "tcpa_call"}


class Bad(Exception):
    """Something does not hold."""


def need(condition, what):
    if not condition:
        raise Bad(what)


def sha256(data):
    return hashlib.sha256(data).digest()


# --- the container ---------------------------------------------------------------------------------------------------


def container_write(files):
    """The only container that these files have: (name, bytes) in ascending order of names."""
    body, central = bytearray(), bytearray()
    for name, data in files:
        raw = name.encode("ascii")
        common = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0x21, zlib.crc32(data), len(data), len(data), len(raw), 0)
        central += struct.pack("<IH", 0x02014B50, 20) + common + bytes(10) + struct.pack("<I", len(body)) + raw
        body += struct.pack("<I", 0x04034B50) + common + raw + data
    count, start, end = len(files), len(body), len(body) + len(central)
    out = bytes(body + central)
    if count >= 0xFFFF:
        out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, end - start, start)
        out += struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    short = min(count, 0xFFFF)
    return out + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, short, short, end - start, start, 0)


def container_read(data):
    files, at = [], 0
    while data[at:at + 4] == b"PK\x03\x04":
        need(len(data) >= at + 30, "container: cut short")
        size, length = struct.unpack_from("<I", data, at + 22)[0], struct.unpack_from("<H", data, at + 26)[0]
        start = at + 30 + length
        name = data[at + 30:start]
        need(re.fullmatch(rb"(?!.{256})[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", name), "container: a name")
        need(start + size <= len(data), "container: cut short")
        files.append((name.decode("ascii"), data[start:start + size]))
        at = start + size
    names = [name for name, _ in files]
    need(names == sorted(set(names)), "container: names are not in order")
    need(container_write(files) == data, "container: not in its only allowed form")
    return dict(files)


# --- JSON, CBOR ------------------------------------------------------------------------------------------------------


def canonical(value):
    """RFC 8785 text; the files hold no numbers but integers."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(item) for name, item in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, float):
        raise Bad("a number that is no integer")
    return json.dumps(value, ensure_ascii=False)


def count(value):
    return type(value) is int and value >= 0


def text(value):
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def matching(pattern):
    return lambda value: text(value) and pattern.fullmatch(value) is not None


def listed(item):
    return lambda value: isinstance(value, list) and all(map(item, value))


def like(required, optional=None):
    """An object of exactly these members: an unknown one is refused."""
    known = {**required, **(optional or {})}
    return lambda value: (isinstance(value, dict) and set(required) <= set(value) <= set(known)
                          and all(known[name](item) for name, item in value.items()))


HASH, ID = matching(HEX32), matching(UUID)
FIELD = like({"index": count, "path": text, "proof": listed(HASH), "salt": HASH, "size": count, "value": text})
SHAPES = {
    "manifest.json": like({
        "format": text, "ledger": ID, "origin": text, "scratch": lambda value: isinstance(value, bool), "profile": PROFILES.__contains__,
        "tool": text, "created": matching(TIME), "subjects": listed(ID), "checkpoint": like({"root": HASH, "size": count}),
        "files": listed(like({"bytes": count, "name": text, "sha256": HASH})), "proves": listed(text), "does_not_prove": listed(text),
    }, {"export": text, "scope": like({"end": count, "first": count, "types": listed(text)}, {"campaign": text})}),
    "completeness.json": like({
        "heads": listed(like({"hashes": listed(HASH), "index": count, "position": count, "sequence": count, "subject": ID})),
        "seal": like({"count": count, "position": count, "root": HASH, "size": count}),
    }),
    "disclosures.json": like({"parts": listed(like(
        {"part": count, "position": count, "state": text}, {"secret": HASH, "fields": listed(FIELD), "covered_by": count}))}),
    "since/consistency.json": like({"from": count, "hashes": listed(HASH), "to": count}),
}


def load(files, name):
    need(name in files, f"{name} is missing")
    try:
        value = json.loads(files[name].decode("utf-8"))
    except ValueError as error:
        raise Bad(f"{name}: not JSON") from error
    need(canonical(value).encode() == files[name], f"{name}: not RFC 8785 text")
    need(SHAPES[name](value), f"{name}: not of the members that it must have")
    return value


def cbor(item):
    """Deterministic CBOR (RFC 8949 section 4.2.1) of the few types that the formats use."""

    def head(major, value):
        if value < 24:
            return bytes([major << 5 | value])
        for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if value < 1 << (8 * size):
                return bytes([major << 5 | extra]) + value.to_bytes(size, "big")
        raise Bad("cbor: integer too large")

    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return head(0, item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, dict):
        return head(5, len(item)) + b"".join(cbor(key) + cbor(item[key]) for key in sorted(item))
    return head(4, len(item)) + b"".join(cbor(part) for part in item)


def cbor_read(data):
    """One item that must be in its deterministic form."""

    def item(at):
        need(at < len(data), "cbor: cut short")
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        if info >= 24:
            need(info <= 27, "cbor: form")
            size = 1 << (info - 24)
            info, at = int.from_bytes(data[at:at + size], "big"), at + size
        if major == 0:
            return info, at
        if major in (2, 3):
            raw = data[at:at + info]
            need(len(raw) == info, "cbor: cut short")
            return (raw if major == 2 else raw.decode("utf-8")), at + info
        if major == 4:
            out = []
            for _ in range(info):
                value, at = item(at)
                out.append(value)
            return out, at
        need(major == 5, "cbor: type")
        out = {}
        for _ in range(info):
            key, at = item(at)
            need(isinstance(key, int) and key not in out, "cbor: key")
            out[key], at = item(at)
        return out, at

    value, end = item(0)
    need(end == len(data) and cbor(value) == data, "cbor: not in its only form")
    return value


# --- hashes, proofs, notes -------------------------------------------------------------------------------------------


def hkdf(prk, info):
    """HKDF-Expand for 32 bytes (RFC 5869 section 2.3)."""
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def node(left, right):
    return sha256(b"\x01" + left + right)


def included(leaf, index, size, proof, root):
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, result = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node(sibling, result)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node(result, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and result == root


def consistent(old, new, proof, old_root, new_root):
    """RFC 9162 section 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new:
        return False
    proof = list(proof) if old & (old - 1) else [old_root, *proof]
    if not proof:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = proof[0]
    for sibling in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node(sibling, first), node(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def texts_named(value):
    """Values of members whose name ends in sha256."""
    found = set()
    if isinstance(value, dict):
        for name, item in value.items():
            if name.endswith("sha256") and isinstance(item, str):
                found.add(item)
            found |= texts_named(item)
    elif isinstance(value, list):
        for item in value:
            found |= texts_named(item)
    return found


def b64(text):
    """Standard base64 in its only form."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Bad("base64") from error
    need(base64.b64encode(raw).decode() == text, "base64: not in its only form")
    return raw


class Key:
    """A verifier key: name and Ed25519 public key."""

    def __init__(self, name, public):
        self.name, self.public = name, public
        self.id = sha256(name.encode() + b"\n\x01" + public)[:4]

    @classmethod
    def parse(cls, text):
        name, key_id, encoded = text.split("+", 2)
        raw = b64(encoded)
        need(len(raw) == 33 and raw[0] == 1, "the verifier key is not an Ed25519 one")
        key = cls(name, raw[1:])
        need(key.id.hex() == key_id, "the verifier key's id is not that of its name and key")
        return key

    def __eq__(self, other):
        return (self.name, self.public) == (other.name, other.public)


def note_open(data, keys, what):
    """Text of a signed note, after one good signature by a known key and no bad one. The number of signatures, and by whom."""
    text, separator, tail = data.decode("utf-8").rpartition("\n\n")
    need(separator and tail.endswith("\n"), f"{what}: not a signed note")
    text += "\n"
    need(all(ord(letter) >= 0x20 or letter == "\n" for letter in data.decode("utf-8")), f"{what}: control character")
    good, lines = [], tail[:-1].split("\n")
    for line in lines:
        match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)", line)
        need(match, f"{what}: not a signature line")
        raw = b64(match[2])
        for key in keys:
            if (key.name, key.id) == (match[1], raw[:4]):
                try:
                    Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
                except InvalidSignature as error:
                    raise Bad(f"{what}: a signature does not verify") from error
                good.append(key)
    need(good, f"{what}: no signature by a known key")
    return text, len(lines), good


# --- entries and parts -----------------------------------------------------------------------------------------------


class Entry:
    """An entry of the log."""

    def __init__(self, data):
        fields = cbor_read(data)
        required, optional = {1, 2, 3, 4, 5, 6, 7, 11, 12, 15, 16}, {8, 9, 10, 13, 14}
        need(isinstance(fields, dict) and required <= set(fields) <= required | optional, "not an entry")
        need(fields[1] == 1, "an entry of another format")
        self.leaf = sha256(b"\x00" + data)
        self.ledger, self.position, self.previous, self.event = fields[2], fields[3], fields[4], fields[5]
        self.type, self.schema, self.recorded, self.parts = fields[6], fields[7], fields[11], fields[16]
        self.subject, self.sequence, self.before = fields.get(8), fields.get(9), fields.get(10)
        need((self.subject is None) == (self.sequence is None), "an entry's subject")
        for part in self.parts:
            need({1, 2, 3, 5} <= set(part) <= {1, 2, 3, 4, 5, 6, 7}, "a part")
            sealed = part[1] != PUBLIC
            need((part[2] == 1) == sealed and (4 in part) == sealed and (6 in part) == sealed, "a part's key")

    def open(self, number, secret, sealed):
        """Plaintext of a part: commitment first, then the seal, then the tree of fields."""
        part = self.parts[number]
        need(hmac.compare_digest(hkdf(secret, b"commit"), part[6]), "the secret does not match the commitment")
        aad = cbor([1, 1, self.ledger, self.event, self.type, self.schema, self.subject, number, part[3], part[4]])
        try:
            plaintext = AESGCM(hkdf(secret, b"key")).decrypt(sealed[:12], sealed[12:], aad)
        except (InvalidTag, ValueError) as error:
            raise Bad("the part does not open in its place") from error
        if part[1] == PERSONAL:
            # RFC 8785 text spells each number in one way: taken as it stands, no number has to be printed again.
            parsed = json.loads(plaintext, parse_int=Number, parse_float=Number)
            found = sorted(leaves(parsed), key=lambda leaf: leaf[0].encode())
            hashes = [field_leaf(path, text, hkdf(secret, cbor(["salt", path]))) for path, text in found]
            need(tree(hashes) == part.get(7), "the fields are not those that the entry commits to")
        return plaintext


class Number(str):
    """A number as it was spelled."""


def leaves(value, path=""):
    if isinstance(value, Number):
        yield path, str(value)
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, path + "/" + name.replace("~", "~0").replace("/", "~1"))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}/{index}")
    else:
        yield path, json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def field_leaf(path, value, salt):
    return sha256(b"\x00" + cbor([path, value, salt]))


def tree(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node(tree(hashes[:split]), tree(hashes[split:]))


def covered_keys(entry, data):
    """Keys that an entry says were destroyed, and whether it excuses quarantined items only."""
    if entry.type == "subject.erased":
        return {uuid.UUID(item["key"]).bytes for item in data["keys"]}, False
    if entry.type == "retention.completed":
        return {uuid.UUID(item).bytes for item in data.get("key_ids", [])}, False
    if entry.type == "quarantine.discarded":
        return {uuid.UUID(data["key"]).bytes}, True
    if entry.type == "key.destroyed" and (data["kind"], data["reason"]) == ("dek", "item_done"):
        return {uuid.UUID(data["key"]).bytes}, True
    return set(), True


# --- the bundle ------------------------------------------------------------------------------------------------------


class Bundle:
    def __init__(self, data, key):
        self.files = container_read(data)
        self.opened, self.known, self.named = {}, set(FIXED), set()
        self.manifest = load(self.files, "manifest.json")
        need(self.manifest["format"] == "tallystick-bundle/1", "another format")
        self.scope = self.manifest.get("scope")
        if self.scope is None:
            self.completeness = load(self.files, "completeness.json")
            self.file("completeness.json")
        self.records = load(self.files, "disclosures.json")["parts"]
        self.entries = {}
        self.check_digests()
        self.read_entries()
        self.check_signatures(key)
        self.check_proofs()
        self.check_parts()
        if self.scope is None:
            self.check_seal()
            self.check_subjects()
        else:
            self.check_range()
        self.check_notices()
        self.check_since()
        need(set(self.files) <= self.known, f"files that do not belong: {sorted(set(self.files) - self.known)[:3]}")

    def file(self, name):
        need(name in self.files, f"{name} is missing")
        self.known.add(name)
        return self.files[name]

    def check_digests(self):
        listed = [(item["name"], item["bytes"], item["sha256"]) for item in self.manifest["files"]]
        found = [(name, len(data), sha256(data).hex()) for name, data in self.files.items()
                 if name not in ("manifest.json", "manifest.sig")]
        for wrong in sorted(set(listed) ^ set(found)):
            raise Bad(f"{wrong[0]}: not as the manifest lists it")
        need(listed == found, "the manifest's list is not in order")

    def read_entries(self):
        subjects = {uuid.UUID(subject).bytes for subject in self.manifest["subjects"]}
        for name in [name for name in self.files if name.startswith("entries/")]:
            entry = Entry(self.file(name))
            need(name == f"entries/{entry.position}.cbor", f"{name}: the entry of another position")
            need(entry.ledger == uuid.UUID(self.manifest["ledger"]).bytes, f"{name}: of another ledger")
            need(entry.subject is None or entry.subject in subjects, f"{name}: about somebody else")
            self.entries[entry.position] = entry
        self.entries = dict(sorted(self.entries.items()))
        last = None
        for entry in self.entries.values():
            if last is not None:
                need(last.position + 1 != entry.position or entry.previous == last.leaf, f"{entry.position}: previous")
                need(last.recorded <= entry.recorded, f"{entry.position}: recorded before an entry before it")
            last = entry

    def public(self, entry):
        """Data of the entry's public part."""
        need(entry.parts and entry.parts[0][1] == PUBLIC, f"{entry.position}: has no public part")
        data = self.file(f"parts/{entry.position}-0.json")
        need(sha256(data) == entry.parts[0][5], f"{entry.position}: the public part is another one")
        return json.loads(data)["data"]

    def log_keys(self):
        need(0 in self.entries, "0: the log's first entry is missing")
        keys, origin = [], None
        for entry in self.entries.values():
            if entry.type == "ledger.created":
                data = self.public(entry)
                need(uuid.UUID(data["ledger"]).bytes == entry.ledger and data["format"] == 1, "ledger.created: another ledger")
                origin, keys = data["origin"], [Key(data["origin"], b64(data["public_key"]))]
                need(bool(data.get("scratch")) == self.manifest["scratch"], "the manifest is wrong about a scratch ledger")
            elif entry.type == "log.key_rotated":
                data = self.public(entry)
                need(Key(origin, b64(data["old_public_key"])) in keys, f"{entry.position}: hands over from an unknown key")
                keys.append(Key(origin, b64(data["new_public_key"])))
        need(origin == self.manifest["origin"], "the manifest names another origin")
        return keys

    def check_signatures(self, key):
        named = self.log_keys()
        need(key is None or key in named, "the key given is not one that the log names as its own")
        # What the log handed over to after the reader's key may sign the manifest: the tree that he vouches for says so.
        keys = named if key is None else named[named.index(key):]
        text, signatures, _ = note_open(self.file("manifest.sig"), keys, "manifest.sig")
        expected = ["tallystick bundle manifest v1", self.manifest["origin"], sha256(self.file("manifest.json")).hex(), ""]
        need(text.split("\n") == expected and signatures == 1, "manifest.sig: signs another manifest")
        text, signatures, good = note_open(self.file("checkpoint"), named, "checkpoint")
        need(len(good) == signatures, "checkpoint: a signature by a key that is not the log's")
        need(key is None or key in good, "checkpoint: not signed by the key given")
        lines = text.split("\n")
        stated = self.manifest["checkpoint"]
        need(lines[:2] == [self.manifest["origin"], str(stated["size"])], "checkpoint: another origin or size")
        self.size, self.root, self.keys = stated["size"], b64(lines[2]), named
        need(self.root.hex() == stated["root"], "checkpoint: another root")

    def check_proofs(self):
        for position, entry in self.entries.items():
            head, separator, tail = self.file(f"proofs/{position}.tlog-proof").partition(b"\n\n")
            lines = head.decode().split("\n")
            need(separator and tail == self.files["checkpoint"], f"{position}: a proof for another checkpoint")
            need(lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {position}"], f"{position}: a proof of another entry")
            hashes = [b64(line) for line in lines[2:]]
            need(included(entry.leaf, position, self.size, hashes, self.root), f"{position}: not in the checkpoint's tree")

    def check_parts(self):
        order = [(record["position"], record["part"]) for record in self.records]
        expected = [(position, number) for position, entry in self.entries.items() for number in range(len(entry.parts))]
        need(order == expected, "the disclosures do not name every part once, in order")
        covers = {}
        for position, entry in self.entries.items():
            if entry.type in ("subject.erased", "retention.completed", "quarantine.discarded", "key.destroyed"):
                covers[position] = covered_keys(entry, self.public(entry))
            schema = f"schemas/{entry.schema.hex()}.json"
            if schema in self.files:
                need(sha256(self.file(schema)) == entry.schema, f"{position}: another schema")
        destroyed = set().union(*(keys for keys, _ in covers.values()))
        for record in self.records:
            try:
                self.check_part(record, covers, destroyed)
            except Bad as bad:
                raise Bad(f"{record['position']}: part {record['part']}: {bad}") from bad

    def check_part(self, record, covers, destroyed):
        position, number, state = record["position"], record["part"], record["state"]
        entry = self.entries[position]
        part = entry.parts[number]
        name = f"parts/{position}-{number}." + ("json" if part[1] == PUBLIC else "sealed")
        needs = {"public": set(), "withheld": set(), "opened": {"secret"}, "fields": {"fields"}, "erased": {"covered_by"}}
        need(state in needs and set(record) == {"position", "part", "state"} | needs[state], "not as its state asks for")
        need((part[1] == PUBLIC) == (state == "public"), "sealed or not")
        if state == "public":
            self.named |= texts_named(json.loads(self.file(name)))
        stored = None if state == "erased" and name not in self.files else self.file(name)
        need(stored is None or sha256(stored) == part[5], "the stored bytes are others")
        if state == "opened":
            need(part[4] not in destroyed, "opened, though its key was destroyed")
            plaintext = entry.open(number, bytes.fromhex(record["secret"]), stored)
            shown = self.file(f"plaintext/{position}-{number}." + ("bin" if part[1] == RAW else "json"))
            need(plaintext == shown, "the plaintext shown is not what was sealed")
            self.opened[position, number] = plaintext
            if part[1] != RAW:
                self.named |= texts_named(json.loads(plaintext))
        elif state == "fields":
            paths = [field["path"] for field in record["fields"]]
            need(paths and paths == sorted(set(paths)), "fields are not in order")
            need(len({field["size"] for field in record["fields"]}) == 1, "fields of trees of several sizes")
            for field in record["fields"]:
                leaf = field_leaf(field["path"], field["value"], bytes.fromhex(field["salt"]))
                proof = [bytes.fromhex(item) for item in field["proof"]]
                need(included(leaf, field["index"], field["size"], proof, part.get(7)), "a field was not in what was sealed")
                if field["path"].endswith("sha256"):
                    self.named.add(json.loads(field["value"]))
        elif state == "erased":
            keys, items_only = covers.get(record["covered_by"], (set(), False))
            need(record["covered_by"] > position and part[4] in keys, "no later entry says that its key was destroyed")
            need(not items_only or part[3] == QUARANTINE, "an item's end excuses no person's part")

    def check_seal(self):
        seal = self.completeness["seal"]
        entry = self.entries.get(seal["position"])
        need(entry and entry.type == "subjects.sealed", f"{seal['position']}: the seal is missing")
        data = self.public(entry)
        need(all(data[name] == seal[name] for name in ("size", "count", "root")), "another map than the seal says")
        need(seal["size"] <= seal["position"], "sealed for entries after the seal")

    def check_subjects(self):
        seal, heads = self.completeness["seal"], self.completeness["heads"]
        subjects = self.manifest["subjects"]
        need(subjects and subjects == sorted(set(subjects)), "the manifest's subjects are not in order")
        need([head["subject"] for head in heads] == subjects, "completeness of other subjects")
        for head in heads:
            subject = uuid.UUID(head["subject"]).bytes
            leaf = sha256(b"\x00" + cbor([subject, head["sequence"], head["position"]]))
            hashes = [bytes.fromhex(item) for item in head["hashes"]]
            good = included(leaf, head["index"], seal["count"], hashes, bytes.fromhex(seal["root"]))
            need(good and head["position"] < seal["size"], f"{head['position']}: not the head that the map names")
            own = [entry for entry in self.entries.values() if entry.subject == subject]
            sequences = [entry.sequence for entry in own]
            missing = sorted(set(range(1, head["sequence"] + 1)) - set(sequences))[:1]
            need(not missing, f"entry {missing} of {head['sequence']} of the person is missing")
            need(sequences == list(range(1, head["sequence"] + 1)), "more entries than the map counts")
            backs = [None] + [entry.position for entry in own]
            need([entry.before for entry in own] == backs[:-1], "the person's entries are not linked")
            need(own[-1].position == head["position"], "the last entry is not where the map says")
            if "export" in self.manifest:
                need(any(self.exports(entry) == self.manifest["export"] for entry in own), "the export is not recorded")

    def check_notices(self):
        for name in [name for name in self.files if name.startswith("notices/")]:
            digest = sha256(self.file(name)).hex()
            need(name == f"notices/{digest}.txt", f"{name}: not the text whose hash an entry names")
            need(digest in self.named, f"{name}: no entry shown names the hash of this text")

    def check_since(self):
        if not {"since/checkpoint", "since/consistency.json"} & set(self.files):
            return
        text, _, _ = note_open(self.file("since/checkpoint"), self.keys, "since/checkpoint")
        self.file("since/consistency.json")
        proof, lines = load(self.files, "since/consistency.json"), text.split("\n")
        need(lines[0] == self.manifest["origin"] and lines[1] == str(proof["from"]), "since/: another log or size")
        need(set(proof) == {"from", "to", "hashes"} and proof["to"] == self.size, "since/: leads to another checkpoint")
        hashes = [bytes.fromhex(item) for item in proof["hashes"]]
        need(consistent(proof["from"], self.size, hashes, b64(lines[2]), self.root), "since/: forked or rewritten")

    def check_range(self):
        """The chain of a range from end to end, and what is opened of it."""
        scope = self.scope
        need({"end", "first", "types"} <= set(scope) <= {"campaign", "end", "first", "types"}, "scope: members")
        first, end, types, campaign = scope["first"], scope["end"], scope["types"], scope.get("campaign")
        need(not self.manifest["subjects"] and types == sorted(set(types)), "scope: persons, or types not in order")
        need(0 <= first <= end <= self.size, "scope: no range of the tree")
        for name in [name for name in self.files if name.startswith("schemas/")]:
            need(name == f"schemas/{sha256(self.file(name)).hex()}.json", f"{name}: another schema")
        position, before, persons = first, None, {}
        while position < end:
            block = self.file(f"blocks/{position:020}.entries")
            shown = self.block_parts(f"blocks/{position:020}.parts")
            need(block, f"{position}: an empty block")
            at = 0
            while at < len(block):
                size = int.from_bytes(block[at:at + 2], "big")
                raw = block[at + 2:at + 2 + size]
                need(len(raw) == size and at + 2 <= len(block), f"{position}: the block is cut")
                at += 2 + size
                entry = Entry(raw)
                need(entry.position == position, f"{position}: an entry is missing")
                need(entry.ledger == uuid.UUID(self.manifest["ledger"]).bytes, f"{position}: of another ledger")
                need(before is None or entry.previous == before.leaf, f"{position}: previous")
                need(before is None or before.recorded <= entry.recorded, f"{position}: recorded before the entry before it")
                inside = any(entry.type.startswith(name[:-1]) if name.endswith("*") else entry.type == name for name in types)
                for number, part in enumerate(entry.parts):
                    given = shown.pop((position, number), None)
                    if part[1] == BUSINESS and inside:
                        if campaign is None:
                            need(given is not None, f"{position}: closed, though the scope says that it is opened")
                        elif entry.subject is not None:
                            persons.setdefault(entry.subject, set()).add(given is not None)
                    if given is not None:
                        self.block_part(entry, number, part, given)
                before, position = entry, position + 1
            need(not shown, f"{position}: parts that are not in the block")
        need(position == end, "entries behind the range")
        need(all(len(states) == 1 for states in persons.values()), "a person of the campaign is not opened whole")
        if before is not None:
            head, separator, tail = self.file(f"proofs/{end - 1}.tlog-proof").partition(b"\n\n")
            lines = head.decode().split("\n")
            need(separator and tail == self.files["checkpoint"], "the last entry's proof is for another checkpoint")
            need(lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {end - 1}"], "the last entry's proof is another's")
            hashes = [b64(line) for line in lines[2:]]
            need(included(before.leaf, end - 1, self.size, hashes, self.root), f"{end - 1}: not in the checkpoint's tree")
        if "export" in self.manifest:
            wanted = (self.manifest["export"], first, end, campaign)
            found = [json.loads(data)["data"] for (at, number), data in self.opened.items()
                     if self.entries[at].type == "export.created" and self.entries[at].parts[number][1] == BUSINESS]
            said = [(data["export"], data.get("from_position"), data.get("to_position"), data.get("campaign")) for data in found]
            need(wanted in said, "the export is not recorded with this range")

    def block_parts(self, name):
        shown, last = {}, (-1, -1)
        for line in self.file(name).decode().split("\n")[:-1]:
            part = json.loads(line)
            place = (part["position"], part["part"])
            need(canonical(part) == line and place > last, f"{name}: a line not in its only form or order")
            shown[place], last = part, place
        need(not self.files[name] or self.files[name].endswith(b"\n"), f"{name}: cut")
        return shown

    def block_part(self, entry, number, part, given):
        where, members = f"{entry.position}: part {number}", set(given) - {"part", "position"}
        if "stored" in members:
            stored = b64(given["stored"])
            need(sha256(stored) == part[5], f"{where}: the stored bytes are others")
            need(members == ({"stored"} if part[1] == PUBLIC else {"secret", "stored"}), f"{where}: its form")
            if part[1] != PUBLIC:
                entry.open(number, bytes.fromhex(given["secret"]), stored)
        elif "fields" in members:
            need(members == {"fields"} and part[1] == PERSONAL, f"{where}: its form")
            paths = [field["path"] for field in given["fields"]]
            need(paths and paths == sorted(set(paths)), f"{where}: fields are not in order")
            for field in given["fields"]:
                leaf = field_leaf(field["path"], field["value"], bytes.fromhex(field["salt"]))
                proof = [bytes.fromhex(item) for item in field["proof"]]
                need(included(leaf, field["index"], field["size"], proof, part.get(7)), f"{where}: a field was not sealed there")
        else:
            need(not members and part[1] != PUBLIC, f"{where}: its form")

    def exports(self, entry):
        """Export id that an opened `export.created` names."""
        for number, part in enumerate(entry.parts):
            if entry.type == "export.created" and part[1] == BUSINESS and (entry.position, number) in self.opened:
                return json.loads(self.opened[entry.position, number])["data"].get("export")
        return None


def main(arguments):
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(arguments[0], "rb") as file:
            data = file.read()
        key = Key.parse(arguments[1]) if len(arguments) == 2 else None
    except (OSError, ValueError, Bad) as error:
        print(f"cannot run: {error}", file=sys.stderr)
        return 2
    try:
        bundle = Bundle(data, key)
    except Bad as bad:
        print(f"NOT VERIFIED: {bad}")
        return 3
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        print(f"NOT VERIFIED: malformed ({type(error).__name__})")
        return 3
    print(f"verified: {len(bundle.entries)} entries, {len(bundle.opened)} parts opened, log {bundle.manifest['origin']}, "
          f"{bundle.size} entries, root {bundle.root.hex()}")
    if key is None:
        print("the log's key was taken from the bundle itself: give the verifier key that you got elsewhere")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
