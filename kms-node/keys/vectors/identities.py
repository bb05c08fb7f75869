"""Identities, event log, OS image hash and report data (docs/protocol.md §1, §3, §4, §6)."""

import hashlib

from derivations import sample
from primitives import audit_path, lp, sha256, tree_root, u64

RUNTIME_EVENT = 0x08000001


def _digest(name, payload):
    return hashlib.sha384(RUNTIME_EVENT.to_bytes(4, "little") + b":" + name.encode() + b":" + payload).digest()


def _event_log():
    app, compose = sample("app", 20), sample("compose", 32)
    seed = sample("seed", 20)
    instance = sha256(seed, app)[:20]
    log = [
        ("system-preparing", b""),
        ("app-id", app),
        ("compose-hash", compose),
        ("instance-id", instance),
        ("host-config", sample("host config", 32)),
        ("boot-mr-done", b""),
        ("key-provider", b'{"name":"kms","id":"30"}'),
        ("storage-fs", b"zfs"),
        ("system-ready", b""),
    ]
    rtmr3, entries = b"\x00" * 48, []
    for name, payload in log:
        digest = _digest(name, payload)
        rtmr3 = hashlib.sha384(rtmr3 + digest).digest()
        entries.append(
            {
                "entry": {
                    "imr": 3,
                    "event_type": RUNTIME_EVENT,
                    "digest": "0x" + digest.hex(),
                    "event": name,
                    "event_payload": "0x" + payload.hex(),
                },
                "rtmr3": rtmr3.hex(),
            }
        )
    return entries


def _os_image(count):
    measurements = [[sample(f"os {count} {n} {r}", 48) for r in ("mrtd", "rtmr0", "rtmr1", "rtmr2")] for n in range(count)]
    measurements.sort()
    leaves = [sha256(b"\x00", lp(*m)) for m in measurements]
    root = tree_root(leaves)
    return {
        "measurements": [dict(zip(("mrtd", "rtmr0", "rtmr1", "rtmr2"), (r.hex() for r in m))) for m in measurements],
        "leaf_bytes": [lp(*m).hex() for m in measurements],
        "leaves": [leaf.hex() for leaf in leaves],
        "root": root.hex(),
        "os_image_hash": sha256(b"kedge/os-image/v1", u64(count), root).hex(),
        "proofs": [(u64(count) + u64(i) + b"".join(audit_path(i, leaves))).hex() for i in range(count)],
    }


def identities():
    document = b'{"manifest_version":2,"name":"vector"}\n'
    seed, app, ppid = sample("seed", 20), sample("app", 20), sample("ppid", 16)
    mrtd, rtmrs = sample("mrtd", 48), [sample(f"rtmr{n}", 48) for n in range(4)]
    compose = sha256(document)
    bound = b"\x01" + compose + b"\x00" * 15
    zero = b"\x00" * 48
    provider = b'{"name":"kms","id":"30"}'
    aggregated = []
    for configuration in ([zero, zero, zero], [bound, zero, zero], [zero, zero, sample("owner config", 48)]):
        extra = configuration if any(any(c) for c in configuration) else []
        aggregated.append(
            {
                "mr_config_id": configuration[0].hex(),
                "mr_owner": configuration[1].hex(),
                "mr_owner_config": configuration[2].hex(),
                "mr_aggregated": sha256(mrtd, *rtmrs, *extra).hex(),
            }
        )
    return {
        "compose": {"document": document.decode(), "compose_hash": compose.hex(), "mr_config_id": bound.hex()},
        "instance": {"seed": seed.hex(), "app_id": app.hex(), "instance_id": sha256(seed, app)[:20].hex()},
        "device": {"ppid": ppid.hex(), "device_id": sha256(ppid).hex()},
        "spki": {"der": sample("spki", 91).hex(), "sha256": sha256(sample("spki", 91)).hex()},
        "registers": {"mrtd": mrtd.hex(), "rtmr": [r.hex() for r in rtmrs]},
        "mr_aggregated": aggregated,
        "mr_system": [
            {"key_provider": None, "mr_system": sha256(mrtd, *rtmrs[:3], b"\x00" * 32).hex()},
            {
                "key_provider": provider.decode(),
                "key_provider_hash": sha256(provider).hex(),
                "mr_system": sha256(mrtd, *rtmrs[:3], sha256(provider)).hex(),
            },
        ],
        "event_log": _event_log(),
        "os_images": [_os_image(count) for count in (1, 2, 3, 5, 8)],
    }


TAGS = [
    "kedge/release/v1",
    "kedge/lease/v1",
    "kedge/kms-onboard/v1",
    "kedge/kms-bootstrap/v1",
    "kedge/ratls/v1",
    "kedge/gateway-cert/v1",
    "kedge/acme-account/v1",
    "kedge/app-attest/v1",
]


def bind(tag, *parts):
    return hashlib.sha512(tag.encode() + b"\x00" + lp(*parts)).digest()


def report_data():
    lists = [[], [b""], [b"", b""], [b"a", b"bc"], [b"ab", b"c"], [sample("part", 32), sample("part 2", 64)]]
    return [
        {"tag": tag, "parts": [part.hex() for part in parts], "report_data": bind(tag, *parts).hex()}
        for tag in TAGS
        for parts in lists
    ]
