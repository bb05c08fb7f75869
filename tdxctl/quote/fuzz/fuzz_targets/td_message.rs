//! Any bytes as the stream of a TD socket: no panic, and a message that is accepted is sent and received again as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{io::Cursor, path::Path};
use td_quote::message::{Answer, Request, receive, send};

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    let mut requests = Cursor::new(bytes);
    while let Ok(Some(request)) = receive::<Request>(&mut requests, path) {
        let mut line = Vec::new();
        send(&mut line, path, &request).expect("sent");
        let again = receive::<Request>(&mut Cursor::new(line), path).expect("received");
        assert_eq!(again, Some(request));
    }
    let mut answers = Cursor::new(bytes);
    while let Ok(Some(answer)) = receive::<Answer>(&mut answers, path) {
        let mut line = Vec::new();
        // An answer can grow when it is written out in full, beyond what one line may hold.
        if send(&mut line, path, &answer).is_ok() {
            let again = receive::<Answer>(&mut Cursor::new(line), path)
                .expect("received")
                .expect("one");
            assert_eq!(again.name(), answer.name());
        }
    }
});
