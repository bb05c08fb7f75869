"""Keys, signatures, certificates, seals and the root file (SPEC.md)."""

import base64
import datetime
import hashlib
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
import ipaddress

from primitives import (
    P256,
    SECP256K1,
    Hpke,
    der_signature,
    ed25519_public,
    ed25519_sign,
    hkdf,
    keccak256,
    lp,
    sha256,
    sign65,
    u32,
    u64,
    x25519_public,
)

SALT = b"kedge/kdf/v1"


def sample(name, size):
    """Bytes that stand for nothing but their name."""
    return hashlib.shake_256(b"kedge vector: " + name.encode()).digest(size)


ROOTS = [(1, bytes(range(32))), (1, sample("root", 32)), (7, sample("root", 32)), (2**32 - 1, b"\xff" * 32)]
APPS = [(sample("app", 20), sample("instance", 20)), (b"\x00" * 20, b"\x00" * 20), (sample("app 2", 20), sample("instance", 20))]

KINDS = {
    "app/disk/luks2-xts-512": ("bytes", 64, "ai"),
    "app/env/x25519": ("x25519", 32, "a"),
    "app/ca/p256": ("p256", 48, "a"),
    "app/k256": ("k256", 48, "a"),
    "kms/ca/p256": ("p256", 48, ""),
    "kms/k256": ("k256", 48, ""),
    "kms/log/ed25519": ("ed25519", 32, ""),
    "kms/hpke/x25519": ("x25519", 32, ""),
}


def expand(ikm, epoch, label, parts, size):
    return hkdf(ikm, SALT, lp(label.encode(), u32(epoch), *parts), size)


def key(ikm, epoch, label, parts=()):
    """Secret bytes of a label, with the scalar where it is one."""
    kind, size, _ = KINDS[label]
    okm = expand(ikm, epoch, label, parts, size)
    if kind in ("p256", "k256"):
        return {"p256": P256, "k256": SECP256K1}[kind].wide(okm)
    return okm


def public(label, secret):
    return {
        "bytes": lambda s: None,
        "x25519": x25519_public,
        "ed25519": ed25519_public,
        "k256": SECP256K1.compressed,
        "p256": P256.uncompressed,
    }[KINDS[label][0]](secret)


def text(value):
    return None if value is None else value.hex()


def derivation():
    cases = []
    for epoch, root in ROOTS:
        for label, (_, _, parts) in KINDS.items():
            for app, instance in APPS if parts else [(None, None)]:
                used = [app, instance][: len(parts)]
                secret = key(root, epoch, label, used)
                cases.append(
                    {
                        "label": label,
                        "root": root.hex(),
                        "key_epoch": epoch,
                        "app_id": text(app) if "a" in parts else None,
                        "instance_id": text(instance) if "i" in parts else None,
                        "secret": secret.hex(),
                        "public": text(public(label, secret)),
                    }
                )
    paths = []
    app_key = key(ROOTS[1][1], 1, "app/k256", [APPS[0][0]])
    for epoch in (1, 2):
        for path in ("", "wallet", "wallet/ethereum", "Schlüssel/ß"):
            k256 = SECP256K1.wide(expand(app_key, epoch, "path/secp256k1", [path.encode()], 48))
            ed25519 = expand(app_key, epoch, "path/ed25519", [path.encode()], 32)
            p256 = P256.wide(expand(app_key, epoch, "path/p256", [path.encode()], 48))
            for label, secret, public_key in (
                ("path/secp256k1", k256, SECP256K1.compressed(k256)),
                ("path/ed25519", ed25519, ed25519_public(ed25519)),
                ("path/p256", p256, P256.compressed(p256)),
            ):
                paths.append(
                    {
                        "label": label,
                        "app_key": app_key.hex(),
                        "key_epoch": epoch,
                        "path": path,
                        "secret": secret.hex(),
                        "public": public_key.hex(),
                    }
                )
    return {"salt": SALT.decode(), "keys": cases, "paths": paths}


def signatures():
    epoch, root = ROOTS[1]
    kms = key(root, epoch, "kms/k256")
    log = key(root, epoch, "kms/log/ed25519")
    apps = []
    for app, _ in APPS:
        app_key = key(root, epoch, "app/k256", [app])
        app_public = SECP256K1.compressed(app_key)
        message = keccak256(b"dstack-kms-issued", b":", app, app_public)
        env = x25519_public(key(root, epoch, "app/env/x25519", [app]))
        time = 1_767_225_600
        with_time = keccak256(b"dstack-env-encrypt-pubkey", b":", app, u64(time), env)
        legacy = keccak256(b"dstack-env-encrypt-pubkey", b":", app, env)
        purpose, path_public = "ethereum", SECP256K1.compressed(SECP256K1.wide(expand(app_key, epoch, "path/secp256k1", [b"wallet"], 48)))
        chain = keccak256(purpose.encode(), b":", path_public.hex().encode())
        apps.append(
            {
                "app_id": app.hex(),
                "app_public_key": app_public.hex(),
                "app_key_message": message.hex(),
                "app_key_signature": sign65(kms, message).hex(),
                "env_public_key": env.hex(),
                "time": time,
                "env_message": with_time.hex(),
                "env_signature": sign65(kms, with_time).hex(),
                "env_legacy_message": legacy.hex(),
                "env_legacy_signature": sign65(kms, legacy).hex(),
                "path": "wallet",
                "path_purpose": purpose,
                "path_public_key": path_public.hex(),
                "path_message": chain.hex(),
                "path_signature": sign65(app_key, chain).hex(),
            }
        )
    prehashes = [sha256(b"prehash %d" % n) for n in range(8)]
    payload = json.dumps({"iss": "kedge", "exp": 1_767_225_660}, separators=(",", ":")).encode()

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = b64(b'{"alg":"ES256K","typ":"JWT"}') + b"." + b64(payload)
    token = signed + b"." + b64(sign65(kms, sha256(signed))[:64])
    entry = b"kedge/log-head/v1\x00" + u64(3) + sha256(b"tree") + u64(1_767_225_600)
    return {
        "root": root.hex(),
        "key_epoch": epoch,
        "k256_public_key": SECP256K1.compressed(kms).hex(),
        "log_public_key": ed25519_public(log).hex(),
        "apps": apps,
        "prehashes": [{"prehash": p.hex(), "signature": sign65(kms, p).hex()} for p in prehashes],
        "jws": {"payload": payload.decode(), "token": token.decode()},
        "log": {"message": entry.hex(), "signature": ed25519_sign(log, entry).hex()},
    }


def _serial(*parts):
    digest = bytearray(sha256(lp(b"kedge/serial/v1", *parts))[:16])
    digest[0] = (digest[0] & 0x3F) | 0x40
    return int.from_bytes(digest, "big")


def _ca(common_name, secret, path_len, issuer_name, issuer_secret, domain):
    point = P256.uncompressed(secret)
    private = ec.derive_private_key(int.from_bytes(issuer_secret, "big"), ec.SECP256R1())
    subject_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer_name)]))
        .public_key(subject_key)
        .serial_number(_serial(common_name.encode(), point))
        .not_valid_before(datetime.datetime(2025, 1, 1))
        .not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59))
    )
    if domain:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier(sha256(P256.uncompressed(issuer_secret))[:20], None, None), critical=False
        )
    flags = dict.fromkeys(
        ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"],
        False,
    )
    builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **flags), critical=True)
    if domain:
        builder = builder.add_extension(
            x509.NameConstraints(
                permitted_subtrees=[x509.DNSName(domain)],
                excluded_subtrees=[
                    x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
                    x509.IPAddress(ipaddress.ip_network("::/0")),
                ],
            ),
            critical=True,
        )
    builder = builder.add_extension(x509.SubjectKeyIdentifier(sha256(point)[:20]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_len), critical=True)
    certificate = builder.sign(private, hashes.SHA256(), ecdsa_deterministic=True)
    # The library's nonce and ours are both RFC 6979.
    r, s, _ = P256.sign(issuer_secret, sha256(certificate.tbs_certificate_bytes), low_s=False)
    assert certificate.signature == der_signature(r, s), "library and RFC 6979 disagree"
    return certificate


def certificates():
    cases = []
    for epoch, root in ROOTS[1:3]:
        kms = key(root, epoch, "kms/ca/p256")
        kms_name = f"Kedge KMS, epoch {epoch}"
        kms_ca = _ca(kms_name, kms, 1, kms_name, kms, None)
        app = APPS[0][0]
        domain = f"{app.hex()}.kedge.internal"
        app_ca = _ca(f"Kedge app {app.hex()}", key(root, epoch, "app/ca/p256", [app]), 0, kms_name, kms, domain)
        spki = kms_ca.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        cases.append(
            {
                "root": root.hex(),
                "key_epoch": epoch,
                "kms_identity": sha256(spki).hex(),
                "kms_ca": kms_ca.public_bytes(Encoding.DER).hex(),
                "app_id": app.hex(),
                "app_domain": domain,
                "app_ca": app_ca.public_bytes(Encoding.DER).hex(),
            }
        )
    return cases


def hpke():
    cases = []
    for name, plaintext in (("empty", b""), ("keys", b'{"app_id":"0x00"}'), ("long", sample("long", 3000))):
        secret = sample("recipient " + name, 32)
        recipient = x25519_public(secret)
        ikm = sample("ephemeral " + name, 32)
        info, aad = sample("info " + name, 81), sample("aad " + name, 220)
        enc, ciphertext = Hpke.seal(recipient, ikm, info, aad, plaintext)
        cases.append(
            {
                "recipient_secret": secret.hex(),
                "recipient_public": recipient.hex(),
                "ephemeral_ikm": ikm.hex(),
                "info": info.hex(),
                "aad": aad.hex(),
                "plaintext": plaintext.hex(),
                "enc": enc.hex(),
                "ciphertext": ciphertext.hex(),
            }
        )
    return cases


def _sealed(ikm, salt, method, cost, roots):
    encryption = hkdf(ikm, b"kedge/root-file/v1", b"encryption" + salt, 32)
    check = hkdf(ikm, b"kedge/root-file/v1", b"key check" + salt, 16)
    header = b"kedge/root-file\x00" + u32(1) + bytes([method]) + b"".join(map(u32, cost)) + salt + check
    body = b"".join(u32(epoch) + root for epoch, root in roots)
    file = header + AESGCM(encryption).encrypt(b"\x00" * 12, body, header)
    return file + sha256(file)


def root_file():
    wrapping, salt = sample("wrapping key", 32), sample("salt", 32)
    passphrase, cost = "correct horse battery staple", (8192, 1, 1)
    stretched = Argon2id(salt=salt, length=32, iterations=cost[1], lanes=cost[2], memory_cost=cost[0]).derive(passphrase.encode())
    roots = [(1, sample("root", 32)), (2, sample("root 2", 32)), (9, sample("root 9", 32))]
    return {
        "roots": [{"key_epoch": epoch, "root": root.hex()} for epoch, root in roots],
        "salt": salt.hex(),
        "key": {"wrapping_key": wrapping.hex(), "file": _sealed(wrapping, salt, 1, (0, 0, 0), roots).hex()},
        "passphrase": {
            "passphrase": passphrase,
            "memory_kib": cost[0],
            "passes": cost[1],
            "lanes": cost[2],
            "file": _sealed(stretched, salt, 2, cost, roots).hex(),
        },
    }


def sealed_files():
    cases = []
    app, instance = APPS[0]
    none = b"\x00" * 20
    for epoch, root in (ROOTS[1], ROOTS[2]):
        app_key, disk_key = key(root, epoch, "app/k256", [app]), key(root, epoch, "app/disk/luks2-xts-512", [app, instance])
        secrets = (
            (1, none, app_key, expand(app_key, epoch, "seal/app/hkdf-sha256", [app], 32)),
            (2, instance, disk_key, expand(disk_key, epoch, "seal/instance/hkdf-sha256", [app, instance], 32)),
        )
        for scope, sealed_to, ikm, secret in secrets:
            for context, plain in ((b"", b""), (b"database", sample("sealed text", 100)), ("Schlüssel".encode(), b"x")):
                salt = sample(f"sealed file {epoch} {scope} {len(cases)}", 32)
                length = u32(len(plain) + 16)
                head = b"kedge/sealed-file\x00" + u32(1) + bytes([scope]) + u32(epoch) + app + sealed_to + salt
                head += len(context).to_bytes(2, "big") + context + length
                file_key = expand(secret, epoch, "seal/file/aes-256-gcm", [salt], 32)
                cases.append(
                    {
                        "scope": {1: "app", 2: "instance"}[scope],
                        "ikm": ikm.hex(),
                        "key_epoch": epoch,
                        "app_id": app.hex(),
                        "instance_id": sealed_to.hex(),
                        "secret": secret.hex(),
                        "context": context.hex(),
                        "text": plain.hex(),
                        "salt": salt.hex(),
                        "file": (head + AESGCM(file_key).encrypt(b"\x00" * 12, plain, head)).hex(),
                    }
                )
    return {"files": cases}
