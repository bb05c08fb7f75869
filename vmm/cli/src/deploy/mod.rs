//! `kedge deploy` and what goes with it: an app from a docker-compose file, on this machine, without a VM (sim-process). The
//! guest's own programs run against a software TD; only the hardware is missing, and with it every protection.

mod app_compose;
mod chain;
mod control;
mod environment;
mod folders;
mod images;
mod instance;
mod login;
mod pin;
mod show;
mod supervisor;
mod wait;

use crate::{
    cli::{Deploy, Instances},
    exit::Refused,
    output::Output,
};
use anyhow::{Context, Result, bail};
use instance::{Instance, Record};
use std::{io::ErrorKind, path::Path, time::Instant};

/// Bytes of free disk below which whatever went wrong went wrong for want of them.
const LITTLE: u64 = 256 * 1024;

/// Deploys a compose file: on-chain, then on this machine.
///
/// # Errors
/// When the file, the chain, the KMS or the machine gives a reason not to.
pub(crate) async fn run(state: &Path, asked: &Deploy, output: &Output) -> Result<()> {
    deploy(state, asked, output)
        .await
        .map_err(|error| with_room(error, state))
}

/// Says where the disk is full, whoever noticed: other programs say it as text, or cannot even write that down.
fn with_room(error: anyhow::Error, state: &Path) -> anyhow::Error {
    let folder = state.join("instances");
    let full = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    };
    let free = rustix::fs::statvfs(&folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let said = format!("{error:#}");
    if !error.chain().any(full)
        && !said.to_ascii_lowercase().contains("no space left")
        && !free.is_ok_and(|free| free < LITTLE)
    {
        return error;
    }
    anyhow::anyhow!(
        "the disk of {} is full: make room there and do it again; what was kept before is still there\n  {said}",
        folder.display()
    )
}

async fn deploy(state: &Path, asked: &Deploy, output: &Output) -> Result<()> {
    let started = Instant::now();
    container_lab::require_root("kedge deploy")?;
    let network = crate::dev::running(state)?;
    let text = app_compose::read(&asked.file)?;
    let mut env = environment::read(asked.env_file.as_deref())?;
    let project = app_compose::project(&asked.file, &text, &env)?;
    if let Some(warning) = project.unset_warning() {
        output.warn(warning);
    }
    app_compose::profiles(&asked.profile, &project, output)?;
    let credentials = login::take(asked.registry_auth.as_ref(), &project, &mut env)?;
    let (text, project) = if asked.allow_mutable_images {
        (text, project)
    } else {
        let parts = pin::Unpinned {
            file: &asked.file,
            text: &text,
            env: &env,
            archives: &asked.image_archive,
            credentials: &credentials,
        };
        pin::pin(&parts, output).await?
    };
    let name = instance::name(
        asked.name.as_deref(),
        project.name.as_ref().map(ToString::to_string),
        &asked.file,
    )?;
    let instance = Instance::new(state, &name)?;
    let mut record = match instance.record()? {
        Some(record) => record,
        None => Record::new(&name)?,
    };
    let owner = chain::Owner::open(state, asked).await?;
    let identity = environment::kms_identity(&network, &owner).await?;
    let document = app_compose::write(&app_compose::Parts {
        name: &name,
        text: &text,
        kms: identity.kms_identity,
        env: &env,
        signer: owner.address(),
        asked,
    })?;
    let app = owner.app(&instance, &mut record, &document, output).await?;
    record.images = images::keep(&instance, &asked.image_archive)?;
    record.references = project
        .services
        .values()
        .map(|service| service.image.to_string())
        .collect();
    // The next version is on disk before it is used: a number once signed is never signed again for other contents.
    record.env_version += 1;
    instance.save(&record)?;
    let encrypted = environment::encrypt(&environment::Sealing {
        network: &network,
        app,
        document: &document,
        version: record.env_version,
        key: owner.key(),
        env: &env,
        identity: &identity,
    })
    .await?;
    instance.write_document(&instance::document(
        &network, &record, &document, encrypted, &identity, state,
    )?)?;
    supervisor::restart(state, &instance, output).await?;
    wait::until_up(&instance, &name, asked.timeout, output).await?;
    show::deployed(&instance, &name, started.elapsed(), output).await
}

/// Lists, shows, starts, stops and removes instances.
///
/// # Errors
/// When there is no such instance, or it does not answer.
pub(crate) async fn instances(state: &Path, command: Instances, output: &Output) -> Result<()> {
    match command {
        Instances::Ps => show::list(state, output).await,
        Instances::Logs {
            name,
            service,
            follow,
            tail,
        } => {
            let instance = known(state, &name)?;
            show::logs(&instance, service.as_deref(), follow, tail).await
        }
        Instances::Inspect { name } => show::inspect(&existing(state, &name)?, &name, output).await,
        Instances::Start { name, timeout } => {
            container_lab::require_root("kedge start")?;
            crate::dev::running(state)?;
            let instance = existing(state, &name)?;
            let started = Instant::now();
            let up = async {
                supervisor::restart(state, &instance, output).await?;
                wait::until_up(&instance, &name, timeout, output).await
            };
            up.await.map_err(|error| with_room(error, state))?;
            show::deployed(&instance, &name, started.elapsed(), output).await
        }
        Instances::Stop { name } => {
            supervisor::stop(&known(state, &name)?, output).await?;
            output.result("stopped", &[("name", name.into()), ("running", false.into())]);
            Ok(())
        }
        Instances::Rm { name, yes } => {
            let instance = known(state, &name)?;
            if !yes {
                bail!("{name}: its data, seed and environment would be gone for good: say --yes");
            }
            supervisor::stop(&instance, output).await?;
            supervisor::clear(&instance).await?;
            instance.remove()?;
            output.result("removed", &[("name", name.into())]);
            Ok(())
        }
        Instances::Run { name } => supervisor::run(state, &existing(state, &name)?).await,
    }
}

/// Stops every instance that runs, for a network that ends.
///
/// # Errors
/// When one does not stop.
pub(crate) async fn stop_all(state: &Path, output: &Output) -> Result<()> {
    for listed in instance::all(state)? {
        if supervisor::alive(&listed.instance)? {
            output.say(format!("stopping {}: it runs in this network", listed.name));
        }
        supervisor::stop(&listed.instance, output)
            .await
            .with_context(|| listed.name.clone())?;
    }
    Ok(())
}

/// An instance that can be started.
fn existing(state: &Path, name: &str) -> Result<Instance> {
    let instance = known(state, name)?;
    match instance.record().with_context(|| name.to_owned())? {
        Some(_) => Ok(instance),
        None => Err(missing(name)),
    }
}

/// An instance that can be stopped, looked at and removed, also when its record is broken.
fn known(state: &Path, name: &str) -> Result<Instance> {
    let instance = Instance::new(state, name)?;
    if instance.folder().is_dir() {
        Ok(instance)
    } else {
        Err(missing(name))
    }
}

fn missing(name: &str) -> anyhow::Error {
    Refused(format!("there is no instance {name}: `kedge ps` lists them")).into()
}
