//! Documents of images and challenges of registries: any bytes are refused or read; what is read is within its bounds, and
//! names one snapshot for each layer.
#![no_main]

use container_runtime::images::auth::Challenge;
use container_runtime::images::manifest::{Document, ImageConfig, MAX_DOCUMENT, MAX_LAYERS, chain_ids};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Document::parse(bytes) {
        Ok(Document::Manifest { layers, .. }) => assert!((1..=MAX_LAYERS).contains(&layers.len())),
        Ok(Document::Index { chosen, .. }) => assert!(chosen.size <= MAX_DOCUMENT as u64),
        Err(error) => assert!(error.got.chars().count() <= 160),
    }
    for layers in 0..3 {
        if let Ok(config) = ImageConfig::parse(bytes, layers) {
            assert_eq!(config.layers.len(), layers);
            assert_eq!(chain_ids(&config.layers).last().copied(), config.chain_id());
            let words = config.entrypoint.iter().chain(&config.command);
            assert!(
                words
                    .chain(config.environment.values())
                    .all(|word| !word.contains('\0'))
            );
            assert!(config.environment.keys().all(|name| !name.is_empty()));
            assert!(config.volumes.iter().all(|path| path.starts_with('/')));
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Challenge::parse(text);
    }
});
