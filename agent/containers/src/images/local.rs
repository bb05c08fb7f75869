//! Images that were imported into containerd: manifest and configuration read from its content store.

use std::collections::BTreeMap;
use std::time::Duration;

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::{GetImageRequest, ReadContentRequest};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ImageError;
use crate::containerd::Containerd;
use crate::image::{Image, ImageHealth};

const MAX_BLOB: usize = 4 * 1024 * 1024;

/// The image under this name, if containerd has it.
pub(crate) async fn find(client: &Containerd, name: &str) -> Result<Image, ImageError> {
    let request = client.request(GetImageRequest {
        name: name.to_owned(),
    });
    let answer = ImagesClient::new(client.channel()).get(request).await;
    let answer = answer.map_err(|status| match status.code() {
        tonic::Code::NotFound => ImageError::Missing,
        _ => ImageError::Unreachable(status.to_string()),
    })?;
    let target = answer
        .into_inner()
        .image
        .and_then(|image| image.target)
        .ok_or(ImageError::Missing)?;
    let mut manifest = read(client, &target.digest).await?;
    if let Some(all) = manifest.get("manifests").and_then(Value::as_array) {
        let digest = all
            .iter()
            .find(|one| {
                one.pointer("/platform/architecture")
                    .is_none_or(|arch| arch == "amd64")
            })
            .and_then(|one| one.get("digest")?.as_str().map(str::to_owned));
        manifest = read(client, &digest.ok_or(ImageError::Missing)?).await?;
    }
    let malformed = |expected: &'static str| ImageError::Malformed {
        expected,
        got: name.to_owned(),
    };
    let config = manifest
        .pointer("/config/digest")
        .and_then(Value::as_str)
        .ok_or(malformed("a configuration"))?;
    let config = read(client, config).await?;
    let layers: Vec<&str> = config
        .pointer("/rootfs/diff_ids")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut image = process(config.get("config").unwrap_or(&Value::Null));
    image.reference = name.to_owned();
    image.digest = target.digest;
    image.chain_id = chain_id(&layers).ok_or(malformed("layers"))?;
    Ok(image)
}

fn chain_id(layers: &[&str]) -> Option<String> {
    let (first, rest) = layers.split_first()?;
    let join = |chain: String, layer: &&str| {
        format!(
            "sha256:{}",
            hex::encode(Sha256::digest(format!("{chain} {layer}")))
        )
    };
    Some(rest.iter().fold((*first).to_owned(), join))
}

fn process(config: &Value) -> Image {
    let list = |key: &str| -> Vec<String> {
        let values = config.get(key).and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let text = |key: &str| {
        config
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let environment: BTreeMap<String, String> = list("Env")
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let volumes = config.get("Volumes").and_then(Value::as_object);
    let health = config.get("Healthcheck").map(|check| {
        let time = |key: &str| {
            check
                .get(key)
                .and_then(Value::as_u64)
                .filter(|n| *n > 0)
                .map(Duration::from_nanos)
        };
        let test = check.get("Test").and_then(Value::as_array);
        ImageHealth {
            test: test
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            interval: time("Interval"),
            timeout: time("Timeout"),
            start_period: time("StartPeriod"),
            start_interval: time("StartInterval"),
            retries: check
                .get("Retries")
                .and_then(Value::as_u64)
                .and_then(|n| u32::try_from(n).ok()),
        }
    });
    Image {
        entrypoint: list("Entrypoint"),
        command: list("Cmd"),
        environment,
        user: text("User"),
        working_dir: text("WorkingDir"),
        volumes: volumes
            .into_iter()
            .flatten()
            .map(|(path, _)| path.clone())
            .collect(),
        stop_signal: Some(text("StopSignal")).filter(|signal| !signal.is_empty()),
        health,
        ..Image::default()
    }
}

async fn read(client: &Containerd, digest: &str) -> Result<Value, ImageError> {
    let request = client.request(ReadContentRequest {
        digest: digest.to_owned(),
        offset: 0,
        size: 0,
    });
    let unreachable = |status: tonic::Status| ImageError::Unreachable(status.to_string());
    let mut stream = ContentClient::new(client.channel())
        .read(request)
        .await
        .map_err(unreachable)?
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await.map_err(unreachable)? {
        bytes.extend_from_slice(&part.data);
        if bytes.len() > MAX_BLOB {
            return Err(ImageError::Malformed {
                expected: "a blob of at most 4 MiB",
                got: digest.to_owned(),
            });
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| ImageError::Malformed {
        expected: "JSON",
        got: digest.to_owned(),
    })
}
