//! Whether this machine can run a VM fast, or as a trust domain: shown by running one, since a device file proves nothing (a nested
//! or emulated KVM can have the file and run no kernel). Refuses to guess: what does not answer in time is not usable.

use crate::{
    Accelerator, RunnerError, ToolRoot, probe,
    process::{Child, Exit},
    tools::MACHINE,
    words,
};
use std::{ffi::OsString, io::Write, path::Path, time::Duration};
use tempfile::NamedTempFile;

/// Time for a guest that takes milliseconds where the processor runs it.
const DEADLINE: Duration = Duration::from_secs(3);
const CANNOT: &str = "use TCG, which is slower and needs nothing, or a machine whose KVM runs kernels";

/// Runs a tiny guest.
///
/// # Errors
/// [`RunnerError::Unusable`] when it does not end as it should in time; others when QEMU or a file fails.
pub async fn accelerator_usable(tools: &ToolRoot, accelerator: Accelerator) -> Result<(), RunnerError> {
    let (name, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg", "max"),
    };
    let temporary = std::env::temp_dir();
    let mut rom = NamedTempFile::new().map_err(RunnerError::io(&temporary))?;
    rom.write_all(&probe::rom())
        .map_err(RunnerError::io(rom.path()))?;
    let exit = format!("isa-debug-exit,iobase={:#x},iosize=1", probe::PORT);
    let mut arguments = quiet(name, MACHINE);
    arguments.extend(["-cpu", cpu, "-m", "16M", "-device", &exit, "-bios"].map(OsString::from));
    arguments.push(rom.path().into());
    let unusable = |reason: String| RunnerError::Unusable {
        platform: match accelerator {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        },
        reason,
        remedy: CANNOT,
    };
    match ended(tools, arguments).await? {
        Some((exit, _)) if exit.code == Some(probe::DONE) => Ok(()),
        Some((exit, words)) if !words.is_empty() => Err(words::explained(exit.text, &words)),
        Some((exit, _)) => Err(unusable(format!(
            "a small guest ended with {} instead of {}",
            exit.text,
            probe::DONE
        ))),
        None => Err(unusable(format!(
            "a small guest that takes milliseconds on a processor was not done after {DEADLINE:?}"
        ))),
    }
}

/// Makes a trust domain with this firmware, which must be one for TDX, and ends it before its first instruction.
///
/// # Errors
/// [`RunnerError::Unusable`] with what is missing; others when QEMU fails.
pub async fn tdx_usable(tools: &ToolRoot, firmware: &Path) -> Result<(), RunnerError> {
    let machine = format!("{MACHINE},kernel-irqchip=split,confidential-guest-support=tdx");
    let mut arguments = quiet("kvm", &machine);
    arguments.extend(
        [
            "-object",
            "tdx-guest,id=tdx",
            "-cpu",
            "host",
            "-m",
            "64M",
            "-S",
            "-bios",
        ]
        .map(OsString::from),
    );
    arguments.push(firmware.into());
    match ended(tools, arguments).await? {
        // It stands still before its first instruction, which is as far as it is to come.
        None => Ok(()),
        Some((exit, words)) => Err(words::explained(exit.text, &words)),
    }
}

fn quiet(accelerator: &str, machine: &str) -> Vec<OsString> {
    [
        "-no-user-config",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-run-with",
        "exit-with-parent=on",
        "-accel",
        accelerator,
        "-machine",
        machine,
    ]
    .map(OsString::from)
    .to_vec()
}

/// How QEMU ended and its last words; nothing when it was still running at the deadline.
async fn ended(tools: &ToolRoot, arguments: Vec<OsString>) -> Result<Option<(Exit, String)>, RunnerError> {
    let mut child = Child::start("QEMU", tools.qemu(arguments)).await?;
    Ok(match tokio::time::timeout(DEADLINE, child.wait()).await {
        Ok(exit) => Some((exit?, child.words().await)),
        Err(_) => {
            child.kill().await;
            None
        }
    })
}
