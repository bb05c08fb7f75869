//! Which health check a container has: the service's, over the image's.

use std::time::Duration;

use compose_file::{HealthPolicy, HealthTest, Healthcheck};

use super::Check;
use crate::image::ImageHealth;

pub(super) fn check(policy: &HealthPolicy, image: Option<&ImageHealth>) -> Option<Check> {
    match policy {
        HealthPolicy::Disabled => None,
        HealthPolicy::Image => {
            let image = image?;
            let defaults = Healthcheck::default();
            Some(Check {
                args: image_args(image)?,
                interval: image.interval.unwrap_or(defaults.interval),
                timeout: image.timeout.unwrap_or(defaults.timeout),
                retries: image
                    .retries
                    .filter(|retries| *retries > 0)
                    .unwrap_or(defaults.retries),
                start_period: image.start_period.unwrap_or(defaults.start_period),
                start_interval: image.start_interval.unwrap_or(defaults.start_interval),
            })
        }
        HealthPolicy::Check(check) => {
            let args = match &check.test {
                Some(HealthTest::Exec(args)) => args.clone(),
                Some(HealthTest::Shell(line)) => shell(line),
                None => image_args(image?)?,
            };
            Some(Check {
                args,
                interval: check.interval.max(Duration::from_millis(1)),
                timeout: check.timeout.max(Duration::from_millis(1)),
                retries: check.retries.max(1),
                start_period: check.start_period,
                start_interval: check.start_interval.max(Duration::from_millis(1)),
            })
        }
    }
}

fn image_args(image: &ImageHealth) -> Option<Vec<String>> {
    let (kind, words) = image.test.split_first()?;
    match kind.as_str() {
        "CMD" => Some(words.to_vec()),
        "CMD-SHELL" => words.first().map(|line| shell(line)),
        _ => None,
    }
}

fn shell(line: &str) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()]
}
