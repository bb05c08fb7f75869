//! `kedge os measure`: what an image measures to on the shapes it may run on, and the catalogue that names it on-chain. Anyone with the
//! image's files and the locked tools gets the same bytes. Refuses an image whose files are not the ones it describes.

use super::tools::tools;
use crate::{cli::Measure, output::Output};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use td_measure::{Catalogue, MeasuredBoot};
use vm_runner::{Accelerator, Image, LoadedImage, Platform, Shape, ToolRoot, VmConfig};

/// Runs the command.
///
/// # Errors
/// When the image or a shape cannot be measured, or the catalogue cannot be written.
pub(super) fn run(asked: &Measure, output: &Output) -> Result<()> {
    let tools = ToolRoot::new(&tools(asked.tools.as_deref())?)?;
    let image = Image::open(&asked.image)?;
    image.check()?;
    let image = LoadedImage::read(image)?;
    let mut measured = Vec::new();
    for vcpus in &asked.vcpus {
        for memory in &asked.memory {
            let config = VmConfig {
                // QEMU makes the tables while the processors stand still, so who would run them does not matter.
                platform: Platform::SimVm(Accelerator::Tcg),
                shape: Shape::new(*vcpus, *memory)?,
                data: None,
                forwards: Vec::new(),
            };
            measured.push((*vcpus, *memory, image.measure(&tools, &config)?));
        }
    }
    let registers = measured.iter().map(|(_, _, boot)| boot.registers());
    let catalogue = Catalogue::from_measurements(registers)?;
    if let Some(file) = &asked.catalogue {
        std::fs::write(file, catalogue.to_json()?).with_context(|| file.display().to_string())?;
    }
    let hash = json!(catalogue.os_image_hash());
    if output.is_json() {
        let shapes: Vec<Value> = measured
            .iter()
            .map(|(vcpus, memory, boot)| shape(*vcpus, *memory, boot))
            .collect();
        output.result("", &[("os image", hash), ("shapes", shapes.into())]);
        return Ok(());
    }
    for (vcpus, memory, boot) in &measured {
        let registers = boot.registers();
        let rows = [
            ("MRTD", json!(registers.mrtd)),
            ("RTMR0", json!(registers.rtmr0)),
            ("RTMR1", json!(registers.rtmr1)),
            ("RTMR2", json!(registers.rtmr2)),
        ];
        output.result(&format!("{vcpus} vCPUs, {memory} MiB"), &rows);
    }
    output.result("", &[("os image", hash)]);
    Ok(())
}

/// A shape's registers and the events behind them.
fn shape(vcpus: u16, memory: u64, boot: &MeasuredBoot) -> Value {
    let events = |events: &[td_measure::MeasuredEvent]| -> Vec<Value> {
        events
            .iter()
            .map(|event| json!({ "name": event.name, "digest": hex::encode(event.digest) }))
            .collect()
    };
    json!({
        "vcpus": vcpus,
        "memory": memory,
        "registers": boot.registers(),
        "events": {
            "rtmr0": events(&boot.rtmr0),
            "rtmr1": events(&boot.rtmr1),
            "rtmr2": events(&boot.rtmr2),
        },
    })
}
