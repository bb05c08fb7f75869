"""Cryptography of the second implementation, written from the standards: keccak256 (Keccak team, "The Keccak reference"), ECDSA with
RFC 6979 on secp256k1 and P-256 (SEC 1, SEC 2), HKDF (RFC 5869), HPKE base mode (RFC 9180), RFC 6962 trees.

Slow and not constant-time: it meets test vectors only."""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def lp(*parts):
    """u32 big-endian length then bytes, for every part."""
    return b"".join(len(p).to_bytes(4, "big") + p for p in parts)


def u32(n):
    return n.to_bytes(4, "big")


def u64(n):
    return n.to_bytes(8, "big")


# ---------------------------------------------------------------- keccak256

MASK = (1 << 64) - 1


def _rotl(x, n):
    n %= 64
    return ((x << n) | (x >> (64 - n))) & MASK if n else x


def _round_constants():
    """Output of the LFSR x^8 + x^6 + x^5 + x^4 + 1 at positions 2^j - 1."""
    constants, r = [], 1
    for _ in range(24):
        value = 0
        for j in range(7):
            if r & 1:
                value |= 1 << ((1 << j) - 1)
            r = ((r << 1) ^ (0x71 if r >> 7 else 0)) & 0xFF
        constants.append(value)
    return constants


ROUNDS = _round_constants()


def _keccak_f(a):
    for constant in ROUNDS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x - 1) % 5] ^ _rotl(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        x, y, current = 1, 0, a[1][0]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            a[x][y], current = _rotl(current, (t + 1) * (t + 2) // 2), a[x][y]
        a = [[a[x][y] ^ (~a[(x + 1) % 5][y] & MASK & a[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak256(*parts):
    data, rate = b"".join(parts), 136
    padded = bytearray(data + b"\x01" + b"\x00" * (-(len(data) + 1) % rate))
    padded[-1] |= 0x80
    state = [[0] * 5 for _ in range(5)]
    for block in range(0, len(padded), rate):
        for i in range(rate // 8):
            state[i % 5][i // 5] ^= int.from_bytes(padded[block + 8 * i : block + 8 * i + 8], "little")
        state = _keccak_f(state)
    return b"".join(state[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
assert keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
assert keccak256(b"a" * 300) != keccak256(b"a" * 301)


# ---------------------------------------------------------------- ECDSA


class Curve:
    """A short Weierstrass curve, affine."""

    def __init__(self, p, a, b, n, gx, gy):
        self.p, self.a, self.b, self.n, self.g = p, a, b, n, (gx, gy)
        assert (gy * gy - (gx**3 + a * gx + b)) % p == 0

    def add(self, q, r):
        if q is None:
            return r
        if r is None:
            return q
        if q[0] == r[0]:
            if (q[1] + r[1]) % self.p == 0:
                return None
            slope = (3 * q[0] * q[0] + self.a) * pow(2 * q[1], -1, self.p)
        else:
            slope = (r[1] - q[1]) * pow(r[0] - q[0], -1, self.p)
        x = (slope * slope - q[0] - r[0]) % self.p
        return x, (slope * (q[0] - x) - q[1]) % self.p

    def mul(self, k, point):
        result = None
        while k:
            if k & 1:
                result = self.add(result, point)
            point = self.add(point, point)
            k >>= 1
        return result

    def public(self, secret):
        return self.mul(int.from_bytes(secret, "big"), self.g)

    def compressed(self, secret):
        x, y = self.public(secret)
        return bytes([2 + (y & 1)]) + x.to_bytes(32, "big")

    def uncompressed(self, secret):
        x, y = self.public(secret)
        return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")

    def wide(self, okm):
        """48 bytes modulo the order: a scalar from 1 to n-1."""
        assert len(okm) == 48
        scalar = int.from_bytes(okm, "big") % self.n
        assert scalar != 0
        return scalar.to_bytes(32, "big")

    def _nonces(self, secret, digest):
        """RFC 6979 §3.2 with SHA-256."""
        h1 = (int.from_bytes(digest, "big") % self.n).to_bytes(32, "big")
        k, v = b"\x00" * 32, b"\x01" * 32
        k = hmac.digest(k, v + b"\x00" + secret + h1, "sha256")
        v = hmac.digest(k, v, "sha256")
        k = hmac.digest(k, v + b"\x01" + secret + h1, "sha256")
        v = hmac.digest(k, v, "sha256")
        while True:
            v = hmac.digest(k, v, "sha256")
            yield int.from_bytes(v, "big")
            k = hmac.digest(k, v + b"\x00", "sha256")
            v = hmac.digest(k, v, "sha256")

    def sign(self, secret, digest, low_s):
        """(r, s, v) over a 32-byte digest."""
        d, e = int.from_bytes(secret, "big"), int.from_bytes(digest, "big")
        for k in self._nonces(secret, digest):
            if not 0 < k < self.n:
                continue
            x, y = self.mul(k, self.g)
            r = x % self.n
            s = pow(k, -1, self.n) * (e + r * d) % self.n
            if r == 0 or s == 0:
                continue
            v = y & 1
            assert x < self.n
            if low_s and s > self.n // 2:
                s, v = self.n - s, v ^ 1
            return r, s, v


SECP256K1 = Curve(
    2**256 - 2**32 - 977,
    0,
    7,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
P256 = Curve(
    2**256 - 2**224 + 2**192 + 2**96 - 1,
    -3,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def sign65(secret, digest):
    """r ‖ s ‖ v with low s, v in {0, 1}."""
    r, s, v = SECP256K1.sign(secret, digest, low_s=True)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


def der_signature(r, s):
    def integer(n):
        body = n.to_bytes(n.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes([len(body)]) + body

    body = integer(r) + integer(s)
    return b"\x30" + bytes([len(body)]) + body


# ---------------------------------------------------------------- HKDF, X25519, Ed25519, HPKE


def hkdf_extract(salt, ikm):
    return hmac.digest(salt or b"\x00" * 32, ikm, "sha256")


def hkdf_expand(prk, info, length):
    out, block = b"", b""
    for i in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([i]), "sha256")
        out += block
    return out[:length]


def hkdf(ikm, salt, info, length):
    return hkdf_expand(hkdf_extract(salt, ikm), info, length)


def raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def x25519_public(secret):
    return raw(x25519.X25519PrivateKey.from_private_bytes(secret).public_key())


def ed25519_public(seed):
    return raw(ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key())


def ed25519_sign(seed, message):
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign(message)


class Hpke:
    """RFC 9180 base mode: KEM 0x0020, KDF 0x0001, AEAD 0x0003."""

    KEM = b"KEM" + (0x0020).to_bytes(2, "big")
    SUITE = b"HPKE" + b"\x00\x20\x00\x01\x00\x03"

    @staticmethod
    def _extract(suite, salt, label, ikm):
        return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)

    @staticmethod
    def _expand(suite, prk, label, info, length):
        return hkdf_expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)

    @classmethod
    def derive_key_pair(cls, ikm):
        prk = cls._extract(cls.KEM, b"", b"dkp_prk", ikm)
        secret = cls._expand(cls.KEM, prk, b"sk", b"", 32)
        return secret, x25519_public(secret)

    @classmethod
    def seal(cls, recipient, ephemeral_ikm, info, aad, plaintext):
        secret, enc = cls.derive_key_pair(ephemeral_ikm)
        dh = x25519.X25519PrivateKey.from_private_bytes(secret).exchange(
            x25519.X25519PublicKey.from_public_bytes(recipient)
        )
        eae_prk = cls._extract(cls.KEM, b"", b"eae_prk", dh)
        shared = cls._expand(cls.KEM, eae_prk, b"shared_secret", enc + recipient, 32)
        psk_id_hash = cls._extract(cls.SUITE, b"", b"psk_id_hash", b"")
        info_hash = cls._extract(cls.SUITE, b"", b"info_hash", info)
        context = b"\x00" + psk_id_hash + info_hash
        secret = cls._extract(cls.SUITE, shared, b"secret", b"")
        key = cls._expand(cls.SUITE, secret, b"key", context, 32)
        nonce = cls._expand(cls.SUITE, secret, b"base_nonce", context, 12)
        return enc, ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


# ---------------------------------------------------------------- RFC 6962


def _split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_root(leaves):
    """MTH over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return sha256(b"\x01", tree_root(leaves[:k]), tree_root(leaves[k:]))


def audit_path(index, leaves):
    """PATH of RFC 6962 §2.1.1, from leaf to root."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return audit_path(index, leaves[:k]) + [tree_root(leaves[k:])]
    return audit_path(index - k, leaves[k:]) + [tree_root(leaves[:k])]
