"""Recomputes the known answers of encrypted environments (docs/protocol.md, section 11) without the Rust crate, and compares them
with environment.json.

check.py           compare, exit 1 on a difference
check.py --write   write the file anew, after a change of the document"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "kms-node" / "keys" / "vectors"))

from cryptography.hazmat.primitives.asymmetric import x25519  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from primitives import SECP256K1, Hpke, keccak256, sha256, sign65, u32, u64, x25519_public  # noqa: E402


def sample(name, size):
    return b"".join(sha256(b"environment", name.encode(), bytes([i])) for i in range(8))[:size]


def plain(pairs):
    return json.dumps({"env": [{"key": k, "value": v} for k, v in pairs]}, separators=(",", ":"), ensure_ascii=False).encode()


def exchange(secret, public):
    return x25519.X25519PrivateKey.from_private_bytes(secret).exchange(x25519.X25519PublicKey.from_public_bytes(public))


def word(value):
    return value.rjust(32, b"\0")


def digest(chain, app, compose, version, ciphertext_hash):
    domain = keccak256(
        keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        keccak256(b"Kedge environment"),
        keccak256(b"2"),
        word(u64(chain)),
        word(app),
    )
    message = keccak256(
        keccak256(b"Environment(address app,bytes32 composeHash,uint64 version,bytes32 ciphertextHash)"),
        word(app),
        compose,
        word(u64(version)),
        ciphertext_hash,
    )
    return keccak256(b"\x19\x01", domain, message)


def environment():
    pairs = [("GREETING", 'hé "quoted" \\ line\nend'), ("TOKEN", "s3cret")]
    text = plain(pairs)
    secret = sample("recipient", 32)
    public = x25519_public(secret)

    ephemeral, iv = sample("ephemeral", 32), sample("iv", 12)
    v1 = x25519_public(ephemeral) + iv + AESGCM(exchange(ephemeral, public)).encrypt(iv, text, b"")

    chain, version = 31337, 7
    app, compose, ikm = sample("app", 20), sample("compose", 32), sample("ikm", 32)
    magic = b"kedge/env/v2\0"
    aad = app + compose + u64(version)
    enc, ciphertext = Hpke.seal(public, ikm, magic, aad, text)
    owner = sample("owner", 32)
    signed = digest(chain, app, compose, version, keccak256(enc + ciphertext))
    signature = sign65(owner, signed)
    address = keccak256(SECP256K1.uncompressed(owner)[1:])[12:]
    envelope = magic + aad + enc + u32(len(ciphertext)) + ciphertext + signature

    return {
        "variables": dict(pairs),
        "recipient_secret": secret.hex(),
        "recipient_public": public.hex(),
        "v1": {"ephemeral": ephemeral.hex(), "iv": iv.hex(), "encrypted": v1.hex()},
        "v2": {
            "chain_id": chain,
            "app_id": app.hex(),
            "compose_hash": compose.hex(),
            "version": version,
            "ephemeral_ikm": ikm.hex(),
            "owner_secret": owner.hex(),
            "owner": address.hex(),
            "digest": signed.hex(),
            "envelope": envelope.hex(),
        },
    }


def main():
    path = HERE / "environment.json"
    text = json.dumps(environment(), indent=2, ensure_ascii=False) + "\n"
    if "--write" in sys.argv[1:]:
        path.write_text(text)
        print(f"{path.name}: written")
        return False
    if not path.exists() or path.read_text() != text:
        print(f"{path.name}: expected the values computed here, got others; see `git diff` after check.py --write")
        return True
    print(f"{path.name}: as computed")
    return False


if __name__ == "__main__":
    sys.exit(main())
