//! Compose files: any bytes are refused, each problem with a place in the file, or read into a project whose references all lead
//! somewhere and whose bounds hold.
#![no_main]

use compose_file::{ComposeFileError, MAX_PROBLEMS, MAX_SERVICES, MountSource, NetworkMode, parse};
use libfuzzer_sys::fuzz_target;

fn variables(name: &str) -> Option<String> {
    name.len().is_multiple_of(2).then(|| name.to_lowercase())
}

fuzz_target!(|yaml: &[u8]| {
    let project = match parse(yaml, &variables) {
        Ok(project) => project,
        Err(ComposeFileError::Problems(problems)) => {
            assert!(!problems.is_empty() && problems.len() <= MAX_PROBLEMS + 1);
            // A file that breaks off is told about at the line after its last.
            let lines = yaml.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 2;
            assert!(
                problems
                    .iter()
                    .all(|problem| problem.at.line as usize <= lines && problem.at.column > 0)
            );
            return;
        }
        Err(_) => return,
    };
    assert!((1..=MAX_SERVICES).contains(&project.services.len()));
    let order = project.start_order();
    for (name, service) in &project.services {
        let place = |wanted| {
            order
                .iter()
                .position(|known| *known == wanted)
                .expect("every service is in the order")
        };
        assert!(
            service
                .depends_on
                .keys()
                .all(|dependency| place(dependency) < place(name))
        );
        assert!(
            service
                .networks
                .keys()
                .all(|network| project.networks.contains_key(network))
        );
        assert!(service.networks.is_empty() || service.network_mode == NetworkMode::Bridges);
        assert!(
            service
                .secrets
                .iter()
                .all(|secret| project.secrets.contains_key(&secret.source))
        );
        assert!(
            service
                .configs
                .iter()
                .all(|config| project.configs.contains_key(&config.source))
        );
        for mount in &service.mounts {
            assert!(mount.target.starts_with('/') && !mount.target.contains("/../"));
            match &mount.source {
                MountSource::Volume { name: Some(name), .. } => assert!(project.volumes.contains_key(name)),
                MountSource::Bind { path, .. } => {
                    assert!(path.starts_with(['/', '.']) && !path.contains(".."))
                }
                _ => {}
            }
        }
    }
    assert!(parse(yaml, &variables).is_ok_and(|again| again == project));
});
