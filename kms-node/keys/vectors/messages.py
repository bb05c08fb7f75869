"""One example of every message, and the bytes both ends compute about it (docs/protocol.md §6, §7)."""

from derivations import sample
from identities import _event_log, bind
from primitives import lp, sha256, u32, u64

GENERATION = {"number": 0x0102030405060708, "mark": "0x" + sample("disk mark", 16).hex()}
KINDS = {"app_keys": 1, "lease": 2, "certificate": 3, "kms_keys": 4}


def x(data):
    return "0x" + data.hex()


def unhex(value):
    return bytes.fromhex(value.removeprefix("0x"))


def _block(name, number):
    return {
        "number": number,
        "hash": x(sample(name + " hash", 32)),
        "state_root": x(sample(name + " state", 32)),
        "timestamp": 1_767_225_600 + number,
    }


def _decision():
    return {
        "chain_id": 31337,
        "contract": x(sample("contract", 20)),
        "head": _block("head", 120),
        "finalized": _block("finalized", 88),
        "record_hash": x(sample("record", 32)),
    }


def _entry(kind):
    return {
        "kind": kind,
        "app_id": x(sample("app", 20)),
        "instance_id": x(sample("instance", 20)),
        "compose_hash": x(sample("compose", 32)),
        "os_image_hash": x(sample("os image", 32)),
        "device_id": x(sample("device", 32)),
        "key_epoch": 7,
        "block": {"number": 120, "hash": x(sample("head hash", 32))},
        "time": 1_767_225_730,
    }


def _tree_head():
    return {"size": 42, "root": x(sample("tree", 32)), "time": 1_767_225_731, "signature": x(sample("head signature", 64))}


def _position(kind):
    return {"index": 41, "entry": _entry(kind), "tree_head": _tree_head()}


def _evidence(events):
    return {
        "challenge": x(sample("challenge", 64)),
        "hpke_public_key": x(sample("hpke", 32)),
        "quote": x(sample("quote", 600)),
        "event_log": [e["entry"] for e in _event_log()[:events]],
        "image_proof": x(u64(2) + u64(1) + sample("sibling", 32)),
        "vm_config": '{"cpus":2,"memory":"2G"}',
        "instance_seed": x(sample("seed", 20)),
        "key_epoch": 7,
    }


def messages():
    signature = x(sample("signature", 65))
    bare = _evidence(1)
    del bare["instance_seed"], bare["key_epoch"]
    identity = {
        "key_epoch": 7,
        "kms_identity": x(sample("identity", 32)),
        "k256_public_key": x(sample("k256", 33)),
        "hpke_public_key": x(sample("kms hpke", 32)),
        "log_public_key": x(sample("log", 32)),
        "ca_certificate": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    }
    meta = {
        "version": "0.1.0",
        "chain_id": 31337,
        "kms_authority": x(sample("contract", 20)),
        "epochs": [identity],
        "head": _block("head", 120),
        "finalized": _block("finalized", 88),
        "tree_head": _tree_head(),
        "development": True,
    }
    return {
        "ChallengeResponse": [
            {"challenge": x(sample("challenge", 64)), "expires_at": 1_767_225_660, "kms_identity": x(sample("identity", 32))}
        ],
        "Evidence": [_evidence(7), bare, {**_evidence(9), "disk_generation": GENERATION}],
        "AppKeysResponse": [
            {
                "enc": x(sample("enc", 32)),
                "ciphertext": x(sample("ciphertext", 900)),
                "key_epoch": 7,
                "decision": _decision(),
                "log": _position("app_keys"),
                "signature": signature,
            }
        ],
        "AppKeys": [
            {
                "app_id": x(sample("app", 20)),
                "instance_id": x(sample("instance", 20)),
                "key_epoch": 7,
                "disk_key": sample("disk", 64).hex(),
                "env_key": sample("env", 32).hex(),
                "app_key": sample("app key", 32).hex(),
                "app_key_signature": signature,
                "ca_certificates": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
                "gateway_app_id": x(b"\x00" * 20),
            }
        ],
        "LeaseResponse": [
            {
                "lease": "e30.e30.AA",
                "expires_at": 1_767_226_330,
                "decision": _decision(),
                "log": _position("lease"),
                "signature": signature,
            }
        ],
        "LeaseClaims": [
            {
                "iss": x(sample("identity", 32)),
                "sub": x(sample("app", 20)),
                "nbf": 1_767_225_730,
                "exp": 1_767_226_330,
                "instance_id": x(sample("instance", 20)),
                "compose_hash": x(sample("compose", 32)),
                "os_image_hash": x(sample("os image", 32)),
                "device_id": x(sample("device", 32)),
                "key_epoch": 7,
                "block": {"number": 120, "hash": x(sample("head hash", 32))},
                "cnf": x(sample("hpke", 32)),
            }
        ],
        "CertificateRequest": [{"evidence": _evidence(9), "csr": x(sample("csr", 200))}],
        "CertificateResponse": [
            {"chain": [identity["ca_certificate"]] * 3, "decision": _decision()},
        ],
        "EnvPublicKey": [
            {
                "app_id": x(sample("app", 20)),
                "key_epoch": 7,
                "public_key": x(sample("env public", 32)),
                "time": 1_767_225_730,
                "signature": signature,
                "legacy_signature": x(sample("legacy signature", 65)),
            }
        ],
        "Meta": [meta, {**meta, "epochs": [], "head": None, "finalized": None, "tree_head": None}],
        "SignedTreeHead": [_tree_head()],
        "LogEntry": [_entry(kind) for kind in KINDS]
        + [{**_entry(kind), "disk_generation": GENERATION} for kind in ("app_keys", "lease")],
        "InclusionProof": [{"index": 41, "tree_size": 42, "path": [x(sample("p1", 32)), x(sample("p2", 32))]}],
        "ConsistencyProof": [{"first": 3, "second": 42, "path": [x(sample("p1", 32))]}],
        "Problem": [
            {
                "type": "urn:kedge:problem:denied",
                "code": "denied",
                "status": 403,
                "detail": "The app's authority does not allow this compose hash.",
                "reason": "compose_hash_not_allowed",
                "block": {"number": 120, "hash": x(sample("head hash", 32))},
                "request_id": "01J0",
            },
            {
                "type": "urn:kedge:problem:attestation_failed",
                "code": "attestation_failed",
                "status": 401,
                "detail": "RTMR3 differs.",
                "check": "B1",
                "expected": "00",
                "actual": "01",
            },
            {"type": "urn:kedge:problem:too_large", "code": "too_large", "status": 413, "detail": "Too large."},
        ],
    }


def block_bytes(block):
    return u64(block["number"]) + unhex(block["hash"]) + unhex(block["state_root"]) + u64(block["timestamp"])


def decision_bytes(decision):
    return (
        u64(decision["chain_id"])
        + unhex(decision["contract"])
        + block_bytes(decision["head"])
        + block_bytes(decision["finalized"])
        + unhex(decision["record_hash"])
    )


def generation_bytes(generation):
    return u64(generation["number"]) + unhex(generation["mark"]) if generation else b""


def leaf_bytes(entry):
    return (
        bytes([KINDS[entry["kind"]]])
        + b"".join(unhex(entry[f]) for f in ("app_id", "instance_id", "compose_hash", "os_image_hash", "device_id"))
        + u32(entry["key_epoch"])
        + u64(entry["block"]["number"])
        + unhex(entry["block"]["hash"])
        + u64(entry["time"])
        + generation_bytes(entry.get("disk_generation"))
    )


def position_bytes(position):
    head = position["tree_head"]
    return (
        u64(position["index"])
        + leaf_bytes(position["entry"])
        + u64(head["size"])
        + unhex(head["root"])
        + u64(head["time"])
        + unhex(head["signature"])
    )


def transcripts():
    """Over the messages above; `kms_identity` is the one of ChallengeResponse."""
    all_messages = messages()
    identity = unhex(all_messages["ChallengeResponse"][0]["kms_identity"])
    evidence = all_messages["Evidence"][0]
    described = sha256(lp(unhex(evidence["image_proof"]), evidence["vm_config"].encode()))
    parts = [identity, unhex(evidence["challenge"]), unhex(evidence["hpke_public_key"]), described]
    release_data, lease_data = bind("kedge/release/v1", *parts), bind("kedge/lease/v1", *parts)
    keys, lease = all_messages["AppKeysResponse"][0], all_messages["LeaseResponse"][0]
    info = b"kedge/release/v1\x00" + release_data
    release = sha256(
        info,
        lp(
            unhex(keys["enc"]),
            unhex(keys["ciphertext"]),
            u32(keys["key_epoch"]),
            decision_bytes(keys["decision"]),
            position_bytes(keys["log"]),
        ),
    )
    leased = sha256(
        b"kedge/lease/v1\x00",
        lease_data,
        lp(
            lease["lease"].encode(),
            u64(lease["expires_at"]),
            decision_bytes(lease["decision"]),
            position_bytes(lease["log"]),
        ),
    )
    counted = bind("kedge/lease/v1", *parts, generation_bytes(all_messages["Evidence"][2]["disk_generation"]))
    counted_position = {**keys["log"], "entry": all_messages["LogEntry"][4]}
    head = all_messages["SignedTreeHead"][0]
    return {
        "evidence_report_data": {
            tag: bind(tag, *parts).hex() for tag in ("kedge/release/v1", "kedge/lease/v1", "kedge/ratls/v1")
        },
        "evidence_report_data_with_disk_generation": counted.hex(),
        "release_info": info.hex(),
        "release_digest": release.hex(),
        "lease_digest": leased.hex(),
        "decision": decision_bytes(keys["decision"]).hex(),
        "log_leaves": [leaf_bytes(entry).hex() for entry in all_messages["LogEntry"]],
        "log_leaf_hashes": [sha256(b"\x00", leaf_bytes(entry)).hex() for entry in all_messages["LogEntry"]],
        "log_position": position_bytes(keys["log"]).hex(),
        "log_position_with_disk_generation": position_bytes(counted_position).hex(),
        "tree_head_signed": (b"kedge/log-head/v1\x00" + u64(head["size"]) + unhex(head["root"]) + u64(head["time"])).hex(),
    }
