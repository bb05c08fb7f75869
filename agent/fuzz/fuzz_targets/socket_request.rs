//! Requests of the app socket: first line `VERB PATH?QUERY`, then the body. Anything is a call or the client's own mistake; a
//! call that was read holds no more than the request did, and the same request is the same call on both sockets.
#![no_main]

use agent::socket::{Call, SocketKind, limits::MAX_BODY, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let line = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (head, body) = input.split_at(line);
    let body = body.get(1..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else {
        return;
    };
    let (verb, target) = head.split_once(' ').unwrap_or((head, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let main = parse(SocketKind::Dstack, verb, path, query, body);
    let legacy = parse(SocketKind::Tappd, verb, path, query, body);
    for answer in [&main, &legacy] {
        if let Err(error) = answer {
            assert!(error.status().is_client_error(), "{error}");
            assert!(error.to_string().len() < 2048);
        }
    }
    if let Ok(call) = main {
        assert!(
            body.len() <= MAX_BODY
                || verb == "GET"
                || matches!(call, Call::Info | Call::GpuInfo | Call::Version)
        );
        assert_eq!(legacy.ok().as_ref(), Some(&call), "tappd.sock has every method");
        if let Call::Sign(args) = &call {
            assert!(args.data.0.len() <= input.len());
        }
    }
});
