// Calls every method of dstack's JavaScript SDK, unmodified, on a running app socket and judges the answers with code of its own.
//
// node check.mjs FACTS.json   FACTS is what the Rust test knows; one JSON object with what only it can judge goes to standard output.
// Any wrong answer ends the program with a stack trace.

import assert from 'node:assert/strict';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ed25519 } from '@noble/curves/ed25519';
import { secp256k1 } from '@noble/curves/secp256k1';
import { keccak_256 } from '@noble/hashes/sha3';
import { DstackClient, TappdClient, getComposeHash, to_hex, verifyEnvEncryptPublicKey, verifyEnvEncryptPublicKeyLegacy } from '@phala/dstack-sdk';
import { encryptEnvVars } from '@phala/dstack-sdk/encrypt-env-vars';
import { toKeypair, toKeypairSecure } from '@phala/dstack-sdk/solana';
import { toViemAccount, toViemAccountSecure } from '@phala/dstack-sdk/viem';
import { publicKeyToAddress } from 'viem/utils';

// The SDK warns of its own deprecations on standard output and error; neither is a finding.
console.warn = () => {};
const FACTS = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const called = new Set();
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'hex'));
const join = (...parts) => Uint8Array.from(Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))));
const sha256 = (data) => createHash('sha256').update(data).digest();

function recovered(digest, signature) {
  assert.equal(signature.length, 65);
  const parsed = secp256k1.Signature.fromCompact(signature.slice(0, 64)).addRecoveryBit(signature[64]);
  return parsed.recoverPublicKey(digest).toRawBytes(true);
}

// The key's signer must be whom the KMS signed.
function checkChain(purpose, publicKey, chain) {
  const app = recovered(keccak_256(join(`${purpose}:${hex(publicKey)}`)), chain[0]);
  const kms = recovered(keccak_256(join('dstack-kms-issued:', bytes(FACTS.app_id), app)), chain[1]);
  assert.equal(hex(kms), FACTS.kms_public_key);
}

function checkQuote(answer, reportData) {
  const quote = Buffer.from(answer.quote, 'hex');
  assert.equal(quote.readUInt16LE(0), 4);
  assert.equal(hex(quote.subarray(568, 632)), hex(reportData));
  assert.equal(answer.replayRtmrs()[3], hex(quote.subarray(520, 568)), 'RTMR3 replayed by the SDK');
}

const padded = (data) => join(data, Buffer.alloc(64 - Buffer.from(data).length));

function checkTls(answer) {
  const chain = answer.certificate_chain.map((text) => new X509Certificate(text));
  assert.equal(chain.length, 3);
  for (const index of [0, 1]) {
    assert.ok(chain[index].verify(chain[index + 1].publicKey), `signature of certificate ${index}`);
    assert.ok(chain[index].checkIssued(chain[index + 1]));
  }
  assert.equal(answer.certificate_chain[2].trim(), FACTS.ca_certificate.trim());
  for (const name of chain[0].subjectAltName.split(', ')) assert.ok(FACTS.names.includes(name.replace('DNS:', '')), name);
  assert.ok(chain[0].publicKey.equals(createPublicKey(answer.key)), 'the certificate is of the key');
  assert.equal(answer.asUint8Array(32).length, 32);
}

async function mainClient(client, name) {
  for (const method of ['getKey', 'getTlsKey', 'getQuote', 'attest', 'info', 'version', 'isReachable', 'emitEvent', 'sign', 'verify']) called.add(`${name}.${method}`);
  assert.equal(await client.isReachable(), true);
  assert.equal((await client.version()).version, FACTS.version);
  for (const algorithm of ['secp256k1', 'k256', '', 'ed25519']) {
    const key = await client.getKey('a/b', 'p', algorithm);
    const publicKey = algorithm === 'ed25519' ? ed25519.getPublicKey(key.key) : secp256k1.getPublicKey(key.key, true);
    checkChain('p', publicKey, key.signature_chain);
  }
  checkQuote(await client.getQuote('hello'), padded('hello'));
  await client.emitEvent(`js-${name}`, Uint8Array.of(0, 255));
  checkQuote(await client.getQuote(Buffer.alloc(64, 1)), Buffer.alloc(64, 1));
  const document = JSON.parse(Buffer.from((await client.attest('x')).attestation, 'hex').toString());
  assert.equal(document.report_data, `0x${hex(padded('x'))}`);
  const info = await client.info();
  assert.equal(info.app_id, FACTS.app_id);
  assert.equal(info.instance_id, FACTS.instance_id);
  assert.equal(hex(sha256(info.tcb_info.app_compose)), FACTS.compose_hash);
  assert.equal(info.tcb_info.event_log.at(-1).event, `js-${name}`);
  for (const [algorithm, data] of [['ed25519', Buffer.from('data')], ['secp256k1', Buffer.from('data')], ['secp256k1_prehashed', sha256('data')]]) {
    const signed = await client.sign(algorithm, data);
    checkChain('signing', signed.public_key, signed.signature_chain.slice(1));
    if (algorithm === 'ed25519') assert.ok(ed25519.verify(signed.signature, data, signed.public_key));
    else assert.ok(secp256k1.verify(signed.signature, algorithm === 'secp256k1' ? sha256(data) : data, signed.public_key));
    assert.equal((await client.verify(algorithm, data, signed.signature, signed.public_key)).valid, true);
    assert.equal((await client.verify(algorithm, sha256('other'), signed.signature, signed.public_key)).valid, false);
  }
  checkTls(await client.getTlsKey());
  checkTls(await client.getTlsKey({ usageRaTls: true }));
  const now = Math.floor(Date.now() / 1000);
  const tls = await client.getTlsKey({ subject: 'web', altNames: [FACTS.names[0]], usageClientAuth: true, notBefore: now - 60, notAfter: now + 600, withAppInfo: true });
  checkTls(tls);
  assert.equal(Date.parse(new X509Certificate(tls.certificate_chain[0]).validTo) / 1000, now + 600);
}

async function legacy(client) {
  called.add('TappdClient.deriveKey').add('TappdClient.tdxQuote');
  const [first, again, other] = [await client.deriveKey('a'), await client.deriveKey('a', 'subject'), await client.deriveKey('b')];
  checkTls(first);
  assert.equal(first.key, again.key);
  assert.notEqual(first.key, other.key);
  assert.equal(toViemAccountSecure(first).address, toViemAccountSecure(again).address);
  assert.equal(toKeypairSecure(first).publicKey.toBase58(), toKeypairSecure(again).publicKey.toBase58());
  for (const name of ['sha256', 'sha384', 'sha512', 'sha3-256', 'sha3-384', 'sha3-512']) {
    checkQuote(await client.tdxQuote('data', name), padded(createHash(name).update('app-data:data').digest()));
  }
  checkQuote(await client.tdxQuote('data', 'keccak256'), padded(keccak_256(join('app-data:data'))));
  checkQuote(await client.tdxQuote('data'), padded(createHash('sha512').update('app-data:data').digest()));
  // The SDK pads raw data on the left.
  checkQuote(await client.tdxQuote('data', 'raw'), join(Buffer.alloc(60), 'data'));
}

async function accounts(client) {
  const key = await client.getKey('eth', 'account');
  const address = publicKeyToAddress(`0x${hex(secp256k1.getPublicKey(key.key, false))}`);
  assert.equal(toViemAccount(key).address, address);
  assert.equal(toViemAccountSecure(key).address, address);
  const message = 'signed by the app';
  const signature = await toViemAccount(key).signMessage({ message });
  assert.equal(signature.length, 132);
  const solana = await client.getKey('sol', 'account', 'ed25519');
  for (const pair of [toKeypair(solana), toKeypairSecure(solana)]) {
    assert.equal(hex(pair.publicKey.toBytes()), hex(ed25519.getPublicKey(solana.key)));
  }
}

async function refusals(client) {
  await assert.rejects(client.getKey('a', 'p', 'rsa'));
  await assert.rejects(client.deriveKey('a'));
  // This SDK reads no HTTP status: an error comes back as an object without the fields that were asked for.
  const refused = await client.verify('ed25519', 'd', 'short', 'short');
  assert.equal(refused.valid, undefined);
  assert.match(refused.error, /expected/);
  await assert.rejects(client.getQuote('x'.repeat(65)));
}

async function helpers() {
  const [key, signature] = [bytes(FACTS.env_public_key), bytes(FACTS.env_signature)];
  const kms = `0x${FACTS.kms_public_key}`;
  assert.equal(verifyEnvEncryptPublicKey(key, signature, FACTS.app_id, FACTS.env_time), kms);
  assert.notEqual(verifyEnvEncryptPublicKey(new Uint8Array(32), signature, FACTS.app_id, FACTS.env_time), kms);
  assert.equal(verifyEnvEncryptPublicKeyLegacy(key, bytes(FACTS.env_legacy_signature), FACTS.app_id), kms);
  assert.equal(to_hex('ab'), '6162');
  const sorted = Object.fromEntries(Object.entries(FACTS.compose).sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    encrypted_env: [await encryptEnvVars([{ key: 'TOKEN', value: 's3cret ß' }], FACTS.env_public_key)],
    compose_text: JSON.stringify(sorted),
    compose_hash: getComposeHash(FACTS.compose),
  };
}

const main = new DstackClient(FACTS.dstack);
await mainClient(main, 'DstackClient');
called.add('DstackClient.tdxQuote');
checkQuote(await main.tdxQuote('data', 'raw'), padded('data'));
await accounts(main);
await refusals(main);
const tappd = new TappdClient(FACTS.tappd);
await mainClient(tappd, 'TappdClient');
await legacy(tappd);
process.stdout.write(JSON.stringify({ called: [...called].sort(), ...(await helpers()) }) + '\n');
