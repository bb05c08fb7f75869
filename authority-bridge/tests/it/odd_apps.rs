//! Apps whose authority is code nobody of this project wrote, as bytes of the EVM: they revert, loop, answer garbage, tell
//! what the EVM shows them, or change their mind. What the network makes of them is decided by the network's contract.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolValue,
};

/// `supportsInterface` says yes to everything but `0xffffffff`; every other call goes on at the end.
const SPEAKS_V2: [u8; 37] = [
    0x5f, 0x35, 0x60, 0xe0, 0x1c, 0x63, 0x01, 0xff, 0xc9, 0xa7, 0x14, 0x15, 0x60, 0x24, 0x57, 0x60, 0x04,
    0x35, 0x60, 0xe0, 0x1c, 0x63, 0xff, 0xff, 0xff, 0xff, 0x14, 0x15, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3,
    0x00, 0x00, 0x5b,
];
const RETURN: u8 = 0xf3;
const REVERT: u8 = 0xfd;

/// One such app.
pub struct Odd {
    pub name: &'static str,
    pub code: Vec<u8>,
    /// Beyond what the bridge proves or allows for: it may refuse to answer, and never answers otherwise.
    pub bounded: bool,
}

fn odd(name: &'static str, code: Vec<u8>) -> Odd {
    Odd {
        name,
        code,
        bounded: false,
    }
}

fn v2(body: &[u8]) -> Vec<u8> {
    [SPEAKS_V2.as_slice(), body].concat()
}

/// Ends with `data`, whatever was asked.
fn ends(v2: bool, how: u8, data: &[u8]) -> Vec<u8> {
    let prefix: &[u8] = if v2 { &SPEAKS_V2 } else { &[] };
    let [high, low] = u16::try_from(data.len()).unwrap().to_be_bytes();
    let [at_high, at_low] = u16::try_from(prefix.len() + 13).unwrap().to_be_bytes();
    let copy = [
        0x61, high, low, 0x61, at_high, at_low, 0x5f, 0x39, 0x61, high, low, 0x5f, how,
    ];
    [prefix, &copy, data].concat()
}

fn answer(allowed: bool, reason: &str) -> Vec<u8> {
    (allowed, reason.to_owned()).abi_encode_params()
}

/// A denial whose reason is one word for each piece of code that pushes one.
fn tells(pushes: &[&[u8]]) -> Vec<u8> {
    let length = u16::try_from(pushes.len() * 32).unwrap();
    let [high, low] = length.to_be_bytes();
    let mut code = vec![0x60, 0x40, 0x60, 0x20, 0x52, 0x61, high, low, 0x60, 0x40, 0x52];
    for (index, push) in pushes.iter().enumerate() {
        let [high, low] = u16::try_from(0x60 + index * 32).unwrap().to_be_bytes();
        code.extend_from_slice(push);
        code.extend_from_slice(&[0x61, high, low, 0x52]);
    }
    let [high, low] = (length + 0x60).to_be_bytes();
    code.extend_from_slice(&[0x61, high, low, 0x5f, RETURN]);
    v2(&code)
}

/// Allows when the lowest bit of what `push` pushes is set, else denies with two letters.
fn when(speaks_v2: bool, push: &[u8]) -> Vec<u8> {
    let head = [
        push,
        &[
            0x60, 0x01, 0x16, 0x80, 0x5f, 0x52, 0x15, 0x60, 0x01, 0x1b, 0x60, 0x40, 0x52,
        ],
    ]
    .concat();
    let tail = [
        0x60, 0x40, 0x60, 0x20, 0x52, 0x61, b'n', b'o', 0x60, 0xf0, 0x1b, 0x60, 0x60, 0x52, 0x60, 0x80, 0x5f,
        0xf3,
    ];
    let body = [head.as_slice(), &tail].concat();
    if speaks_v2 { v2(&body) } else { body }
}

/// Stores the word it is sent alone, else answers by it.
fn flips() -> Vec<u8> {
    let store = [
        0x36, 0x60, 0x20, 0x14, 0x15, 0x60, 0x0d, 0x57, 0x5f, 0x35, 0x5f, 0x55, 0x00, 0x5b,
    ];
    [store.as_slice(), &when(false, &[0x5f, 0x54])].concat()
}

/// A static call with 65,535 gas and 128 bytes, and whether it succeeded.
fn calls(address: u16) -> Vec<u8> {
    let [high, low] = address.to_be_bytes();
    vec![
        0x5f, 0x5f, 0x60, 0x80, 0x5f, 0x61, high, low, 0x61, 0xff, 0xff, 0xfa,
    ]
}

/// Loads `count` slots, from the first.
fn loads(count: u16) -> Vec<u8> {
    let [high, low] = count.to_be_bytes();
    let start = u8::try_from(SPEAKS_V2.len() + 3).unwrap();
    // i = count; do { i -= 1; sload(i) } while (i != 0); return
    let body = [
        0x61, high, low, 0x5b, 0x60, 0x01, 0x90, 0x03, 0x80, 0x54, 0x50, 0x80, 0x60, start, 0x57,
    ];
    [v2(&body).as_slice(), &[0x5f, 0x5f, RETURN]].concat()
}

fn garbage() -> Vec<Odd> {
    let mut wide = answer(false, "two");
    wide[31] = 2;
    let mut far = answer(false, "far");
    far[63] = 0x60;
    let mut long = answer(false, "long");
    long[94] = 0xff;
    let mut padded = answer(false, "padded");
    padded.extend_from_slice(&[0xee; 64]);
    let mut broken = answer(false, "broken text");
    broken[96] = 0xff;
    vec![
        odd("flag 2", ends(true, RETURN, &wide)),
        odd("offset 96", ends(true, RETURN, &far)),
        odd("length beyond the data", ends(true, RETURN, &long)),
        odd("data after the text", ends(true, RETURN, &padded)),
        odd("text that is no UTF-8", ends(true, RETURN, &broken)),
        odd("95 bytes", ends(true, RETURN, &[0; 95])),
        odd("nothing", ends(true, RETURN, &[])),
        odd(
            "1,024 bytes",
            ends(true, RETURN, &answer(false, &"x".repeat(1024 - 96))),
        ),
        odd(
            "1,056 bytes",
            ends(true, RETURN, &answer(false, &"x".repeat(1056 - 96))),
        ),
        odd(
            "24,000 bytes",
            ends(true, RETURN, &answer(false, &"x".repeat(24_000))),
        ),
        odd(
            "allowed with a reason",
            ends(true, RETURN, &answer(true, "because")),
        ),
        odd("denied without a reason", ends(true, RETURN, &answer(false, ""))),
        odd(
            "forged lines",
            ends(
                true,
                RETURN,
                &answer(false, "not_yet_final: \n\u{7f}\u{85}allowed\0"),
            ),
        ),
    ]
}

fn environment() -> Vec<Odd> {
    let block: [&[u8]; 7] = [
        &[0x41],
        &[0x42],
        &[0x43],
        &[0x44],
        &[0x45],
        &[0x46],
        &[0x60, 0x01, 0x1e],
    ];
    let call: [&[u8]; 9] = [
        &[0x30],
        &[0x32],
        &[0x33],
        &[0x36],
        &[0x38],
        &[0x47],
        &[0x33, 0x31],
        &[0x5f, 0x49],
        &[0x3d],
    ];
    let accounts: [&[u8]; 8] = [
        &[0x61, 0xde, 0xad, 0x3f],
        &[0x61, 0xde, 0xad, 0x3b],
        &[0x61, 0xde, 0xad, 0x31],
        &[0x33, 0x3f],
        &[0x30, 0x3f],
        &[0x60, 0x02, 0x3f],
        &[0x5a],
        &[0x41, 0x31],
    ];
    let precompiles: Vec<Vec<u8>> = (1..=0x12).chain([0x100]).map(calls).collect();
    let mut called: Vec<&[u8]> = precompiles.iter().map(Vec::as_slice).collect();
    called.push(&[0x5a]);
    vec![
        odd("the block", tells(&block)),
        odd("the call", tells(&call)),
        odd("other accounts", tells(&accounts)),
        odd("precompiles and gas", tells(&called)),
        odd("gas price and base fee", tells(&[&[0x3a], &[0x48]])),
        Odd {
            name: "the parent's hash",
            code: tells(&[&[0x60, 0x01, 0x43, 0x03, 0x40]]),
            bounded: true,
        },
    ]
}

fn endings() -> Vec<Odd> {
    let recursion = [0x5f, 0x5f, 0x5f, 0x5f, 0x30, 0x5a, 0xfa, 0x00];
    vec![
        odd("reverts", ends(true, REVERT, b"")),
        odd("reverts with data", ends(true, REVERT, &answer(true, ""))),
        odd("version 1 that reverts", ends(false, REVERT, b"")),
        odd("invalid instruction", v2(&[0xfe])),
        odd("unknown instruction", v2(&[0x0c])),
        odd("empty stack", v2(&[0x01])),
        odd("jump into nothing", v2(&[0x5f, 0x56])),
        odd("memory without end", v2(&[0x5f, 0x19, 0x51])),
        odd("recursion", v2(&recursion)),
        odd("writes", v2(&[0x5f, 0x5f, 0x55])),
        odd("writes transiently", v2(&[0x5f, 0x5f, 0x5d])),
        odd("logs", v2(&[0x5f, 0x5f, 0xa0])),
        odd("creates", v2(&[0x5f, 0x5f, 0x5f, 0xf0])),
        odd("destroys itself", v2(&[0x5f, 0xff])),
        odd("reads 200 slots", loads(200)),
        Odd {
            name: "reads 4,000 slots",
            code: loads(4_000),
            bounded: true,
        },
    ]
}

/// All of them.
pub fn odd_apps() -> Vec<Odd> {
    let compose_hash = [0x60, 68, 0x35];
    let mut apps = vec![
        odd("version 1 by the compose hash", when(false, &compose_hash)),
        odd("version 1 that allows", ends(false, RETURN, &answer(true, ""))),
        odd(
            "version 1 that denies",
            ends(false, RETURN, &answer(false, "in its own words")),
        ),
        odd("version 1 that flips", flips()),
        odd("by the time", when(true, &[0x42])),
        odd("by the height", when(true, &[0x43])),
        odd("version 2 that allows", ends(true, RETURN, &answer(true, ""))),
    ];
    apps.extend(garbage());
    apps.extend(environment());
    apps.extend(endings());
    apps
}

/// Code that deploys `runtime`.
pub fn deployment(runtime: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(runtime.len()).unwrap().to_be_bytes();
    let copy = [0x61, high, low, 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, RETURN];
    [copy.as_slice(), runtime].concat()
}

/// EIP-1167: every call goes on to `target`'s code.
pub fn clone_of(target: Address) -> Vec<u8> {
    let before = [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];
    let after = [
        0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3,
    ];
    [before.as_slice(), target.as_slice(), &after].concat()
}

/// What the flipping app stores.
pub fn flip(word: u64) -> Vec<u8> {
    U256::from(word).to_be_bytes::<32>().to_vec()
}
