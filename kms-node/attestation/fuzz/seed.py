#!/usr/bin/env python3
"""Writes the seeds: real samples of the dcap-qvl package (MIT licence), event logs, image proofs.

Usage: seed.py FOLDER-OF-THE-DCAP-QVL-PACKAGE
"""
import json
import pathlib
import sys

here = pathlib.Path(__file__).parent
samples = pathlib.Path(sys.argv[1]) / "sample"


def put(target: str, name: str, data: bytes) -> None:
    folder = here / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def event(name: str, payload: bytes) -> dict:
    return {"imr": 3, "event_type": 0x08000001, "digest": "", "event": name, "event_payload": payload.hex()}


for name in ["tdx_quote", "tdx_quote_outdated", "tdx_quote_td15ex"]:
    put("quote", name, (samples / name).read_bytes())
put("collateral", "tdx_quote", (samples / "tdx_quote_collateral.json").read_bytes())

boot = [
    event("system-preparing", b""),
    event("app-id", bytes(20)),
    event("compose-hash", bytes(32)),
    event("init-script-hash", bytes(32)),
    event("gpu-policy-hash", bytes(32)),
    event("instance-id", bytes(20)),
    event("host-config", bytes(32)),
    event("boot-mr-done", b""),
    event("os-image-hash", bytes(32)),
    event("key-provider", b'{"name":"kms","id":"00"}'),
    event("storage-fs", b"ext4"),
    event("system-ready", b""),
    event("my-event", b"x"),
]
for end in (8, len(boot)):
    put("event_log", f"first-{end}", json.dumps(boot[:end]).encode())

for leaves, index, nodes in [(1, 0, 0), (2, 1, 1), (7, 3, 3), (7, 6, 2), (1 << 32, 5, 32)]:
    proof = leaves.to_bytes(8, "big") + index.to_bytes(8, "big") + bytes(32 * nodes)
    put("image_proof", f"{index}-of-{leaves}", proof)
