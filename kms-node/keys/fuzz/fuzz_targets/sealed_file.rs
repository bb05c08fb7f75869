//! Sealed files: any bytes are read or refused; nothing opens but what a key of the head itself sealed.
#![no_main]

use kms_keys::{SealScope, SealedFile, SealingKey, Secret, instance_seal_secret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = SealedFile::parse(bytes) else {
        return;
    };
    let (app, instance, epoch) = (file.app_id, file.instance_id, file.key_epoch);
    let key = match file.scope {
        SealScope::App => SealingKey::of_app(&[7; 32], app, epoch).expect("32 bytes"),
        SealScope::Instance => {
            let secret: Secret<32> =
                instance_seal_secret(&[7; 64], &app, &instance, epoch).expect("32 bytes");
            SealingKey::of_instance(secret, app, instance, epoch)
        }
    };
    assert!(key.open(&file, file.context).is_err(), "a tag out of nothing");
});
