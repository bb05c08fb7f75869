//! The pre-launch script of the compose document: run to its end before the app, with the app's environment and folder, each
//! time the app is started. A failure, or no end within its time, keeps the app from starting.

use super::{
    AppError,
    script::{Script, ScriptEnvironment, ScriptLog, private_folder},
    supervisor::Prelude,
};
use app_manifest::Environment;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// What it is called in messages and in the log.
const NAME: &str = "pre_launch_script";
/// Time its group gets to end.
const GRACE: Duration = Duration::from_secs(5);

/// The script as what runs before the app.
pub fn pre_launch(
    text: String,
    environment: Arc<Environment>,
    log_writer: PathBuf,
    run: &Path,
    data: &Path,
    timeout: Option<Duration>,
) -> Prelude {
    let run = run.join("script");
    let script = Script {
        name: NAME,
        file: run.join("pre-launch.sh"),
        environment: run.join("pre-launch.env"),
        folder: data.join("app"),
    };
    let logs = data.join("logs").join(NAME);
    Arc::new(move || {
        let (text, environment, log_writer) = (text.clone(), Arc::clone(&environment), log_writer.clone());
        let (run, script, logs) = (run.clone(), script.clone(), logs.clone());
        Box::pin(async move {
            for folder in [&run, &script.folder] {
                private_folder(folder).map_err(AppError::io(folder, "make the script's folder"))?;
            }
            script.place(&text)?;
            let _environment = ScriptEnvironment::write(script.environment.clone(), &environment)?;
            let log = ScriptLog::start(&log_writer, &run, NAME, logs)?;
            let ended = once(&script, &log, timeout).await;
            log.finish().await;
            ended
        })
    })
}

async fn once(script: &Script, log: &ScriptLog, timeout: Option<Duration>) -> Result<(), AppError> {
    let mut running = script.start(log)?;
    let code = match timeout {
        None => running.wait().await,
        Some(bound) => {
            let ended = tokio::time::timeout(bound, running.wait()).await;
            match ended {
                Ok(code) => code,
                Err(_) => {
                    running.stop(GRACE).await;
                    return Err(AppError::Slow {
                        script: NAME,
                        seconds: bound.as_secs(),
                    });
                }
            }
        }
    };
    match code.map_err(AppError::io("/bin/bash", "wait for the script"))? {
        0 => Ok(()),
        code => Err(AppError::Script {
            script: NAME,
            actual: code.to_string(),
        }),
    }
}
