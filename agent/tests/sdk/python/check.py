"""Calls every method of dstack's Python SDK, unmodified, on a running app socket and judges the answers with code of its own.

check.py FACTS.json   FACTS is what the Rust test knows; one JSON object with what only it can judge goes to standard output.
Any wrong answer ends the program with a traceback."""

import asyncio
import base64
import hashlib
import json
import sys
import time
import warnings

import dstack_sdk
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dstack_sdk.ethereum import to_account, to_account_secure
from dstack_sdk.get_compose_hash import to_deterministic_json
from dstack_sdk.solana import to_keypair, to_keypair_secure
from eth_keys import keys
from eth_utils import keccak

warnings.simplefilter("ignore", DeprecationWarning)
with open(sys.argv[1], encoding="utf-8") as file:
    FACTS = json.load(file)
APP_ID = bytes.fromhex(FACTS["app_id"])
KMS = bytes.fromhex(FACTS["kms_public_key"])
CALLED = set()


def same(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def recovered(digest, signature):
    return keys.Signature(signature_bytes=signature).recover_public_key_from_msg_hash(digest).to_compressed_bytes()


def check_chain(purpose, public_key, chain):
    """The key's signer must be whom the KMS signed."""
    app = recovered(keccak(purpose.encode() + b":" + public_key.hex().encode()), chain[0])
    same(recovered(keccak(b"dstack-kms-issued:" + APP_ID + app), chain[1]), KMS, "signer of the app key")


def public_of(algorithm, secret):
    if algorithm == "ed25519":
        return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return keys.PrivateKey(secret).public_key.to_compressed_bytes()


def rtmr3_of(quote):
    same(int.from_bytes(quote[:2], "little"), 4, "quote version")
    return quote[520:568].hex()


def report_data_of(quote):
    return quote[568:632]


def check_quote(answer, report_data):
    quote = answer.decode_quote()
    same(report_data_of(quote), report_data, "report data of the quote")
    same(answer.replay_rtmrs()[3], rtmr3_of(quote), "RTMR3 replayed by the SDK")
    for event in answer.decode_event_log():
        joined = event.event_type.to_bytes(4, "little") + b":" + event.event.encode() + b":" + bytes.fromhex(event.event_payload)
        same(event.digest, hashlib.sha384(joined).hexdigest(), f"digest of {event.event}")


def check_tls(answer):
    chain = [x509.load_pem_x509_certificate(text.encode()) for text in answer.certificate_chain]
    same(len(chain), 3, "certificates")
    for leaf, issuer in zip(chain, chain[1:]):
        leaf.verify_directly_issued_by(issuer)
    same(answer.certificate_chain[2].strip(), FACTS["ca_certificate"].strip(), "KMS CA")
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    if not set(names) <= set(FACTS["names"]):
        raise AssertionError(f"names: expected some of {FACTS['names']}, got {names}")
    same(len(answer.as_uint8array(32)), 32, "key bytes")
    return chain[0]


def check_attested(leaf):
    """The quote in a certificate is over the certificate's key."""
    value = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.35")).value.value
    same(value[:2], b"\x0c\x82", "DER of a UTF8String")
    kind, document, indicator = json.loads(value[4:])
    same((kind, indicator), ("application/vnd.kedge.attestation-v1+json", 4), "record")
    document = json.loads(base64.urlsafe_b64decode(document + "=" * (-len(document) % 4)))
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bound = hashlib.sha512(b"kedge/ratls/v1\0" + len(key).to_bytes(4, "big") + key).digest()
    same(report_data_of(bytes.fromhex(document["quote"][2:])), bound, "report data")


def check_info(info):
    same(info.app_id, FACTS["app_id"], "app id")
    same(info.instance_id, FACTS["instance_id"], "instance id")
    same(info.compose_hash, FACTS["compose_hash"], "compose hash")
    same(hashlib.sha256(info.tcb_info.app_compose.encode()).hexdigest(), info.compose_hash, "hash of the compose document")
    same(dstack_sdk.dstack_client.replay_rtmr([e.digest for e in info.tcb_info.event_log if e.imr == 3]), info.tcb_info.rtmr3, "RTMR3")


def check_signed(verify, algorithm, data, signed):
    check_chain("signing", signed.decode_public_key(), signed.decode_signature_chain()[1:])
    same(signed.decode_signature_chain()[0], signed.decode_signature(), "first of the chain")
    if algorithm == "ed25519":
        Ed25519PublicKey.from_public_bytes(signed.decode_public_key()).verify(signed.decode_signature(), data)
    else:
        digest = data if algorithm == "secp256k1_prehashed" else hashlib.sha256(data).digest()
        public = keys.PublicKey.from_compressed_bytes(signed.decode_public_key())
        if not any(
            keys.Signature(signature_bytes=signed.decode_signature() + bytes([v])).recover_public_key_from_msg_hash(digest) == public
            for v in (0, 1)
        ):
            raise AssertionError(f"{algorithm}: the signature is by another key")
    same(verify(data, signed.decode_signature()).valid, True, "Verify of the signature")
    same(verify(bytes([data[0] ^ 1]) + data[1:], signed.decode_signature()).valid, False, "Verify of other data")


def check_key(algorithm, purpose, answer):
    check_chain(purpose, public_of(algorithm, answer.decode_key()), answer.decode_signature_chain())


def main_client(client, name):
    """The synchronous client, on either socket."""
    for method in ("get_key", "get_quote", "attest", "info", "emit_event", "get_tls_key", "sign", "verify", "version", "is_reachable"):
        CALLED.add(f"{name}.{method}")
    same(client.is_reachable(), True, "is_reachable")
    version = client.version()
    same(version.version, FACTS["version"], "version")
    for algorithm in ("secp256k1", "k256", "", "ed25519"):
        check_key(algorithm, "p", client.get_key("a/b", "p", algorithm))
    same(client.get_key("a").key, client.get_key("a", "q").key, "key of one path")
    check_quote(client.get_quote("hello"), b"hello".ljust(64, b"\0"))
    client.emit_event("python-" + name, b"\x00\xff")
    check_quote(client.get_quote(b"\x01" * 64), b"\x01" * 64)
    document = json.loads(client.attest(b"\x02").decode_attestation())
    same(report_data_of(bytes.fromhex(document["quote"][2:])), b"\x02".ljust(64, b"\0"), "report data of the attestation")
    info = client.info()
    check_info(info)
    same(info.tcb_info.event_log[-1].event, "python-" + name, "last event")
    for algorithm, data in (("ed25519", b"data"), ("secp256k1", b"data"), ("secp256k1_prehashed", hashlib.sha256(b"data").digest())):
        signed = client.sign(algorithm, data)
        check_signed(lambda d, s: client.verify(algorithm, d, s, signed.decode_public_key()), algorithm, data, signed)
    check_tls(client.get_tls_key())
    attested = check_tls(client.get_tls_key(usage_ra_tls=True))
    check_attested(attested)
    now = int(time.time())
    leaf = check_tls(
        client.get_tls_key(
            "web", [FACTS["names"][0]], usage_client_auth=True, not_before=now - 60, not_after=now + 600, with_app_info=True
        )
    )
    same(int(leaf.not_valid_after_utc.timestamp()), now + 600, "end of validity")


async def async_client(client, name):
    for method in ("get_key", "get_quote", "attest", "info", "emit_event", "get_tls_key", "sign", "verify", "version", "is_reachable"):
        CALLED.add(f"{name}.{method}")
    async with client:
        same(await client.is_reachable(), True, "is_reachable")
        same((await client.version()).version, FACTS["version"], "version")
        for answer in await asyncio.gather(*(client.get_key("a", str(n)) for n in range(20))):
            same(answer.key, (await client.get_key("a")).key, "key of one path")
        check_key("ed25519", "p", await client.get_key("a", "p", "ed25519"))
        check_quote(await client.get_quote("x"), b"x".ljust(64, b"\0"))
        json.loads((await client.attest("x")).decode_attestation())
        check_info(await client.info())
        await client.emit_event("python-" + name, "text")
        signed = await client.sign("ed25519", "data")
        answer = await client.verify("ed25519", "data", signed.decode_signature(), signed.decode_public_key())
        same(answer.valid, True, "Verify")
        check_tls(await client.get_tls_key(alt_names=FACTS["names"]))


def legacy(client):
    for method in ("derive_key", "tdx_quote"):
        CALLED.add(f"TappdClient.{method}")
    first, again, other = client.derive_key("a"), client.derive_key("a", "subject"), client.derive_key("b")
    check_tls(first)
    same(first.key, again.key, "key of one path")
    if first.key == other.key:
        raise AssertionError("two paths have one key")
    same(to_account(first).address, to_account(again).address, "account of one TLS key")
    same(to_account_secure(first).address, to_account_secure(again).address, "account of one TLS key")
    same(to_keypair_secure(first).pubkey(), to_keypair_secure(again).pubkey(), "key pair of one TLS key")
    hashes = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512", "sha3-256": "sha3_256", "sha3-384": "sha3_384", "sha3-512": "sha3_512"}
    for name, function in hashes.items():
        digest = hashlib.new(function, b"app-data:data").digest()
        check_quote(client.tdx_quote("data", name), digest.ljust(64, b"\0"))
    check_quote(client.tdx_quote("data", "keccak256"), keccak(b"app-data:data").ljust(64, b"\0"))
    # The SDK pads raw data on the left.
    check_quote(client.tdx_quote("data", "raw"), b"data".rjust(64, b"\0"))
    check_quote(client.tdx_quote(b"d" * 64), b"d" * 64)


def accounts(client):
    key = client.get_key("eth", "account")
    address = keys.PrivateKey(key.decode_key()).public_key.to_checksum_address()
    same(to_account(key).address, address, "address")
    same(to_account_secure(key).address, address, "address")
    solana = client.get_key("sol", "account", "ed25519")
    public = public_of("ed25519", solana.decode_key())
    same(bytes(to_keypair(solana).pubkey()), public, "Solana key")
    same(bytes(to_keypair_secure(solana).pubkey()), public, "Solana key")


def helpers():
    """What never touches the socket, against what our own code made."""
    key, signature = bytes.fromhex(FACTS["env_public_key"]), bytes.fromhex(FACTS["env_signature"])
    signer = dstack_sdk.verify_env_encrypt_public_key(key, signature, FACTS["app_id"], FACTS["env_time"])
    same(signer, "0x" + KMS.hex(), "signer of the environment key")
    other = dstack_sdk.verify_env_encrypt_public_key(bytes(32), signature, FACTS["app_id"], FACTS["env_time"])
    if other == signer:
        raise AssertionError("the signature holds for another key")
    legacy_signature = bytes.fromhex(FACTS["env_legacy_signature"])
    same(dstack_sdk.verify_env_encrypt_public_key_legacy(key, legacy_signature, FACTS["app_id"]), "0x" + KMS.hex(), "legacy signer")
    variables = [dstack_sdk.EnvVar(key="TOKEN", value="s3cret ß")]
    compose = dstack_sdk.AppCompose.from_dict(dict(FACTS["compose"]))
    return {
        "encrypted_env": [
            dstack_sdk.encrypt_env_vars_sync(variables, FACTS["env_public_key"]),
            asyncio.run(dstack_sdk.encrypt_env_vars(variables, FACTS["env_public_key"])),
        ],
        "compose_text": to_deterministic_json(compose),
        "compose_hash": dstack_sdk.get_compose_hash(compose),
    }


def refusals(client):
    """A wrong call must fail in the SDK too."""
    for call in (
        lambda: client.get_key("a", "p", "rsa"),
        lambda: client.emit_event("app-id", b""),
        lambda: client.get_tls_key(alt_names=["example.com"]),
        lambda: client.verify("ed25519", b"d", b"short", b"short"),
    ):
        try:
            call()
        except Exception as error:  # the SDK's own kind, whatever it is
            if "400" not in str(error):
                raise
        else:
            raise AssertionError("a wrong call was answered")


try:
    # The SDK's `with` names its asynchronous half; the client itself is what is tested.
    main = dstack_sdk.DstackClient(FACTS["dstack"])
    with main:
        main_client(main, "DstackClient")
        accounts(main)
        refusals(main)
    asyncio.run(async_client(dstack_sdk.AsyncDstackClient(FACTS["dstack"]), "AsyncDstackClient"))
    tappd = dstack_sdk.TappdClient(FACTS["tappd"])
    with tappd:
        main_client(tappd, "TappdClient")
        legacy(tappd)
    asyncio.run(async_client(dstack_sdk.AsyncTappdClient(FACTS["tappd"]), "AsyncTappdClient"))
except InvalidSignature as error:
    raise AssertionError("a signature does not hold") from error
print(json.dumps({"called": sorted(CALLED), **helpers()}))
