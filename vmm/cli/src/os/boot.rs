//! `kedge os boot`: a VM of an image on this machine, from power-on to its end. Refuses an image whose files are not the ones it
//! describes, and never runs another platform than the one asked for.

use super::{
    no,
    terminal::{Lines, plain},
    tools::tools,
};
use crate::{
    cli::{AcceleratorName, Boot, PlatformName},
    exit::{Refused, Unreachable},
    output::{Output, line},
};
use anyhow::{Context, Result, bail};
use kms_types::{ComposeHash, TdConfigId};
use serde_json::{Map, Value, json};
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use vm_runner::{
    Accelerator, Ended, Image, ImageFile, LoadedImage, Platform, RunnerError, Shape, SoftTd, TdxOptions,
    ToolRoot, Vm, VmConfig, VmEvent, accelerator_usable, tdx_usable,
};
use zeroize::Zeroizing;

/// Time a guest gets to end after its power button was pressed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events that wait to be shown; what a guest prints above that is left to the log.
const WAITING: usize = 1024;
/// Lines of the console that are shown when a VM ends badly.
const LAST_LINES: usize = 20;

/// Runs the command.
///
/// # Errors
/// When the VM cannot be started or ends by a reset, and [`Refused`] when the guest's setup gave up.
pub(super) async fn run(state: &Path, asked: Boot, output: &Output) -> Result<()> {
    let mut stop = Stop::new()?;
    let mut show = Show::new(output.is_json(), asked.console);
    let image = Image::open(&asked.image).map_err(no)?;
    let tools = tools(asked.tools.as_deref(), &image)?;
    show.note("checking the image")?;
    image.check().map_err(no)?;
    let document = match &asked.host_document {
        Some(path) => guest_files::read_bounded(path, vm_runner::MAX_HOST_DOCUMENT)?,
        None => Zeroizing::new(b"{}".to_vec()),
    };
    let shape = Shape::new(asked.vcpus, asked.memory)?;
    let platform = platform(&asked, &image, &tools, config_id(&document), &mut show).await?;
    let config = VmConfig {
        platform,
        shape,
        data: asked.data,
        forwards: asked.forwards,
    };
    let td = match &config.platform {
        Platform::Tdx(_) => None,
        Platform::SimVm(_) => Some(soft_td(state, &tools, &image, &config, config_id(&document))?),
    };
    // Short, since it holds sockets; readable by its owner alone, since they lead to the guest.
    let run = tempfile::Builder::new().prefix("kedge-vm-").tempdir()?;
    std::fs::set_permissions(run.path(), std::fs::Permissions::from_mode(0o700))?;
    let (sender, events) = mpsc::channel(WAITING);
    let on_event = move |event: VmEvent| {
        // A console nobody reads as fast as it is written takes no report's place.
        if !matches!(event, VmEvent::Console(_)) || sender.capacity() > WAITING / 2 {
            drop(sender.try_send(event));
        }
    };
    let started = Vm::start(
        &tools,
        &image,
        &config,
        &document,
        td.as_ref(),
        run.path(),
        on_event,
    );
    let mut vm = started.await?;
    show.note("the VM runs")?;
    let ended = follow(&mut vm, events, &mut stop, &mut show).await;
    let log = vm.console_log().to_owned();
    verdict(ended, &show, &log, output)
}

/// Shows what happens until the VM has ended.
async fn follow(
    vm: &mut Vm,
    mut events: mpsc::Receiver<VmEvent>,
    stop: &mut Stop,
    show: &mut Show,
) -> Result<Ended> {
    let ended = loop {
        tokio::select! {
            Some(event) = events.recv() => show.event(event)?,
            ended = vm.wait() => break ended,
            () = stop.asked() => break shut_down(vm, &mut events, stop, show).await?,
        }
    };
    while let Ok(event) = events.try_recv() {
        show.event(event)?;
    }
    show.rest()?;
    Ok(ended?)
}

/// Presses the power button; cuts the power when asked once more.
async fn shut_down(
    vm: &mut Vm,
    events: &mut mpsc::Receiver<VmEvent>,
    stop: &mut Stop,
    show: &mut Show,
) -> Result<Result<Ended, RunnerError>> {
    show.note("pressing the power button; once more cuts the power")?;
    {
        let mut pressed = std::pin::pin!(vm.shutdown(PATIENCE));
        loop {
            tokio::select! {
                Some(event) = events.recv() => show.event(event)?,
                ended = &mut pressed => return Ok(ended),
                () = stop.asked() => break,
            }
        }
    }
    Ok(vm.kill().await)
}

fn verdict(ended: Result<Ended>, show: &Show, log: &Path, output: &Output) -> Result<()> {
    let last = || {
        let text = plain(&std::fs::read(log).unwrap_or_default());
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    };
    let ended = ended.with_context(|| format!("the VM ended; it last printed:\n{}", last()))?;
    if let Some(failure) = &show.failed {
        return Err(failure.error());
    }
    let word = match ended {
        Ended::PoweredOff => "powered off",
        Ended::Killed => "power cut",
        Ended::Reset => bail!(
            "the guest asked for a reset, as a kernel that panics does; it last printed:\n{}",
            last()
        ),
    };
    output.result("", &[("ended", word.into()), ("seconds", show.seconds().into())]);
    Ok(())
}

/// MRCONFIGID for the app of a host document; zero for a document without one, which the guest will refuse.
fn config_id(document: &[u8]) -> TdConfigId {
    let document: Option<Value> = serde_json::from_slice(document).ok();
    let compose = document.as_ref().and_then(|document| document.get("app_compose"));
    compose.and_then(Value::as_str).map_or(TdConfigId::ZERO, |text| {
        attestation::config_id_for(&ComposeHash::of(text.as_bytes()))
    })
}

async fn platform(
    asked: &Boot,
    image: &Image,
    tools: &ToolRoot,
    id: TdConfigId,
    show: &mut Show,
) -> Result<Platform> {
    // Either would start, and find no TD to ask.
    match (asked.platform, image.is_development()) {
        (PlatformName::Tdx, true) => bail!(
            "expected a production image on tdx, got a development one, which speaks to a software TD only"
        ),
        (PlatformName::SimVm, false) => bail!(
            "expected a development image on sim-vm, got a production one, which has no way to a software TD"
        ),
        _ => {}
    }
    if asked.platform == PlatformName::Tdx {
        tdx_usable(tools, &image.path(ImageFile::Firmware)?).await?;
        return Ok(Platform::Tdx(TdxOptions {
            mr_config_id: id,
            quotes: asked.quotes.clone(),
        }));
    }
    if asked.quotes.is_some() {
        bail!("--quotes: a plain VM's quotes come from its software TD; it goes with --platform tdx");
    }
    Ok(Platform::SimVm(match asked.accel {
        AcceleratorName::Tcg => Accelerator::Tcg,
        AcceleratorName::Kvm => {
            accelerator_usable(tools, Accelerator::Kvm).await?;
            Accelerator::Kvm
        }
        AcceleratorName::Auto => match accelerator_usable(tools, Accelerator::Kvm).await {
            Ok(()) => Accelerator::Kvm,
            Err(error) => {
                show.note(&format!("TCG, since {error}"))?;
                Accelerator::Tcg
            }
        },
    }))
}

/// The software TD of the state folder's platform, with the registers of this boot.
fn soft_td(
    state: &Path,
    tools: &ToolRoot,
    image: &Image,
    config: &VmConfig,
    id: TdConfigId,
) -> Result<SoftTd> {
    let measured = LoadedImage::read(image.clone())?.measure(tools, config)?;
    Ok(SoftTd {
        program: anvil_tests::binaries::own("soft-td")?,
        platform: std::path::absolute(state)?.join("platform"),
        measurement: measured.registers(),
        mr_config_id: id,
    })
}

/// Ctrl-C, or being told to end.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Why the guest's setup gave up, in its own words.
#[derive(Debug)]
struct Failure {
    kind: String,
    reason: String,
}

impl Failure {
    fn error(&self) -> anyhow::Error {
        let said = format!("the guest gave up: {}", self.reason);
        match self.kind.as_str() {
            "could_not_ask" => Unreachable(said).into(),
            "malformed" => anyhow::anyhow!(said),
            _ => Refused(said).into(),
        }
    }
}

/// What the user sees, with the seconds since the start.
struct Show {
    begin: Instant,
    json: bool,
    console: bool,
    lines: Lines,
    /// Why the guest's setup gave up, if it said so.
    failed: Option<Failure>,
}

impl Show {
    fn new(json: bool, console: bool) -> Self {
        Self {
            begin: Instant::now(),
            json,
            console,
            lines: Lines::default(),
            failed: None,
        }
    }

    fn seconds(&self) -> f64 {
        (self.begin.elapsed().as_secs_f64() * 10.0).round() / 10.0
    }

    fn note(&self, text: &str) -> Result<()> {
        self.say("note", text, || json!({ "text": text }))
    }

    fn event(&mut self, event: VmEvent) -> Result<()> {
        match event {
            VmEvent::Console(bytes) => {
                for text in self.lines.take(&bytes) {
                    self.printed(&text)?;
                }
                Ok(())
            }
            VmEvent::Report(report) => self.report(report),
            VmEvent::NoReport(reason) => self.say("no report", &reason, || json!({ "reason": reason })),
            VmEvent::Machine(name) if self.json => self.say("machine", &name, || json!({ "name": name })),
            VmEvent::Machine(_) => Ok(()),
        }
    }

    fn report(&mut self, report: Map<String, Value>) -> Result<()> {
        let text = |name| {
            plain(
                report
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .as_bytes(),
            )
        };
        let (stage, state, message, advice) = (text("stage"), text("state"), text("message"), text("advice"));
        if state == "failed" {
            self.failed = Some(Failure {
                kind: text("kind"),
                reason: [message.as_str(), advice.as_str()].join(": "),
            });
        }
        let shown = format!("{stage} {state}: {message}");
        self.say("guest", shown.trim_end_matches(": "), || {
            Value::Object(report.clone())
        })
    }

    fn printed(&self, text: &str) -> Result<()> {
        if self.console {
            self.say("|", text, || json!({ "text": text }))?;
        }
        Ok(())
    }

    /// The last line, which has no end.
    fn rest(&mut self) -> Result<()> {
        match self.lines.rest() {
            Some(text) => self.printed(&text),
            None => Ok(()),
        }
    }

    /// A line for people, an object for programs; both on standard output, as they are what the command is for.
    fn say(&self, what: &str, text: &str, value: impl Fn() -> Value) -> Result<()> {
        let seconds = self.begin.elapsed().as_secs_f64();
        if self.json {
            let what = if what == "|" { "console" } else { what };
            line(
                json!({ "seconds": (seconds * 1000.0).round() / 1000.0, "event": what.replace(' ', "_"), "value": value() }),
            );
        } else {
            let what = if what == "note" { "" } else { what };
            line(format!("{seconds:7.1} s  {what:<5} {text}").trim_end());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_guest_that_gave_up_ends_with_the_code_of_its_reason() {
        let report = |kind: Option<&str>| {
            let mut report = json!({ "stage": "keys", "state": "failed", "message": "no", "advice": "ask" });
            if let Some(kind) = kind {
                report["kind"] = kind.into();
            }
            let mut show = Show::new(true, false);
            show.report(report.as_object().unwrap().clone()).unwrap();
            let error = show.failed.unwrap().error();
            assert_eq!(error.to_string(), "the guest gave up: no: ask");
            crate::exit::code(&error)
        };
        assert_eq!(report(Some("malformed")), 1);
        assert_eq!(report(Some("refused")), 3);
        assert_eq!(report(Some("could_not_ask")), 4);
        // A kind nobody knows is a no.
        assert_eq!((report(None), report(Some("other"))), (3, 3));
    }
}
