//! The stages in their order. Each gets what the ones before it proved, and reports before and after.

use crate::{
    Effects, FailureKind, HostDocument, SetupError, StageError, Told, env, handover, keys, measure,
    requirements, storage,
};
use guest_files::{BootMode, HandOver};
use std::fmt;

/// One stage of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The host's document is read.
    Document,
    /// The machine is held against what the app requires.
    Requirements,
    /// What the app is goes into RTMR3.
    Measure,
    /// Measured scripts run.
    InitScripts,
    /// Keys come.
    Keys,
    /// The disk is opened.
    Storage,
    /// The environment is opened.
    Env,
    /// The network is brought up.
    Network,
    /// Everything is left for the agent.
    HandOver,
}

impl Stage {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Requirements => "requirements",
            Self::Measure => "measure",
            Self::InitScripts => "init-scripts",
            Self::Keys => "keys",
            Self::Storage => "storage",
            Self::Env => "env",
            Self::Network => "network",
            Self::HandOver => "hand-over",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Boots: from the host's document to the hand-over. Killed at any point and run again, it ends in the same state.
///
/// # Errors
/// Names the stage, what was expected and came, and what to do.
pub fn run(document: &[u8], effects: &mut dyn Effects) -> Result<HandOver, SetupError> {
    let document = stage(effects, Stage::Document, |_| {
        let document = HostDocument::parse(document)?;
        let message = format!(
            "app {} ({}), compose hash {}",
            document.app_id,
            document.manifest.compose().name,
            document.manifest.hash()
        );
        Ok((document, message))
    })?;
    if let Some(handover) = done_before(&document, effects)? {
        return Ok(handover);
    }
    stage(effects, Stage::Requirements, |effects| {
        Ok(((), requirements::check(&document, &effects.machine())?))
    })?;
    stage(effects, Stage::Measure, |effects| {
        Ok(((), measure::measure(&document, effects)?))
    })?;
    stage(effects, Stage::InitScripts, |effects| {
        let scripts = &document.manifest.compose().init_script;
        for script in scripts {
            effects.run_script(script)?;
        }
        Ok(((), format!("{} run", scripts.len())))
    })?;
    let keys = stage(effects, Stage::Keys, |effects| {
        let keys = keys::keys(&document, effects)?;
        let message = match keys::mode(&document) {
            BootMode::None => {
                "NO KEY PROVIDER: keys are fresh at every boot, and nothing this app stores outlives this one"
                    .to_owned()
            }
            BootMode::Local if document.manifest.compose().key_provider_id.is_empty() => format!(
                "from {} {}, NOT PROVEN: the app pins no provider, so this is whoever the host started",
                keys.provider.name, keys.provider.id
            ),
            _ => format!("from {} {}", keys.provider.name, keys.provider.id),
        };
        Ok((keys, message))
    })?;
    let storage = stage(effects, Stage::Storage, |effects| {
        let storage = storage::storage(&document, &keys, effects)?;
        let message = if storage.encrypted {
            format!("{}, encrypted", storage.path.display())
        } else {
            format!(
                "{}, NOT ENCRYPTED: a plain folder of this host",
                storage.path.display()
            )
        };
        Ok((storage, message))
    })?;
    let accepted = stage(effects, Stage::Env, |effects| {
        let accepted = env::env(&document, &keys, effects)?;
        let message = format!(
            "{} variables, {} dropped because allowed_envs does not name them",
            accepted.environment.len(),
            accepted.environment.dropped()
        );
        Ok((accepted, message))
    })?;
    stage(effects, Stage::Network, |effects| {
        Ok(((), effects.network(&document)?))
    })?;
    stage(effects, Stage::HandOver, |effects| {
        let handover = handover::hand_over(&document, &keys, storage, &accepted, effects)?;
        Ok((handover, "setup is done".to_owned()))
    })
}

/// The hand-over of a run that came to its end before. What an earlier boot left is taken away first: a folder of the boot that
/// outlived it would show the agent keys and a hand-over of a boot that is over.
fn done_before(document: &HostDocument, effects: &mut dyn Effects) -> Result<Option<HandOver>, SetupError> {
    let found = (|| {
        if measure::untouched(effects)? {
            effects.forget_earlier_boot()?;
            return Ok(None);
        }
        if !measure::completed(effects)? {
            return Ok(None);
        }
        let events = measure::events(document).len();
        measure::measure(document, effects)?;
        match effects.earlier_handover()? {
            Some(handover) if handover.compose_hash == document.manifest.hash() => Ok(Some(handover)),
            _ => Err(StageError::refused(
                format!(
                    "event log: expected at most {events} events without a hand-over, got one of a completed boot"
                ),
                "start the VM again: a boot that was completed gets no second set of keys",
            )),
        }
    })();
    found.map_err(|source| {
        let stage = Stage::HandOver;
        effects.report(stage, Told::Failed(&source));
        SetupError { stage, source }
    })
}

/// Runs one stage between its reports.
fn stage<T>(
    effects: &mut dyn Effects,
    stage: Stage,
    work: impl FnOnce(&mut dyn Effects) -> Result<(T, String), StageError>,
) -> Result<T, SetupError> {
    effects.report(stage, Told::Running);
    match work(effects) {
        Ok((result, message)) => {
            effects.report(stage, Told::Done(&message));
            Ok(result)
        }
        Err(source) => {
            effects.report(stage, Told::Failed(&source));
            Err(SetupError { stage, source })
        }
    }
}

impl SetupError {
    /// What kind of reason it is.
    pub const fn kind(&self) -> FailureKind {
        self.source.kind
    }
}
