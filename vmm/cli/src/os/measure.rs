//! `kedge os measure`: what an image measures to on the shapes it may run on, and the catalogue that names it on-chain. Anyone with the
//! image's files and the locked tools gets the same bytes. Refuses an image whose files are not the ones it describes.

use super::{no, tools::tools, words};
use crate::{cli::Measure, output::Output};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use td_measure::{Catalogue, MeasuredBoot};
use vm_runner::{Bench, Image, LoadedImage, Shape};

/// Runs the command.
///
/// # Errors
/// When the image or a shape cannot be measured, or the catalogue cannot be written.
pub(super) fn run(asked: &Measure, output: &Output) -> Result<()> {
    let image = Image::open(&asked.image).map_err(no)?;
    let tools = tools(asked.tools.as_deref(), &image)?;
    image.check().map_err(no)?;
    let mut shapes = Vec::new();
    for vcpus in &asked.vcpus {
        for memory in &asked.memory {
            shapes.push(Shape::new(*vcpus, *memory)?);
        }
    }
    if shapes.is_empty() {
        shapes = image.shapes()?;
    }
    let image = LoadedImage::read(image)?;
    let measured = boots(&image.bench(&tools)?, shapes, output)?;
    let catalogue = Catalogue::from_measurements(measured.iter().map(|(_, boot)| boot.registers()))?;
    if let Some(file) = &asked.catalogue {
        replace(file, &catalogue.to_json()?)?;
    }
    let hash = json!(catalogue.os_image_hash());
    if output.is_json() {
        let shapes: Vec<Value> = measured
            .iter()
            .map(|(shape, boot)| described(*shape, boot))
            .collect();
        output.result("", &[("os image", hash), ("shapes", shapes.into())]);
        return Ok(());
    }
    for (shape, boot) in &measured {
        let registers = boot.registers();
        let rows = [
            ("MRTD", json!(registers.mrtd)),
            ("RTMR0", json!(registers.rtmr0)),
            ("RTMR1", json!(registers.rtmr1)),
            ("RTMR2", json!(registers.rtmr2)),
        ];
        output.result(&words(*shape), &rows);
    }
    output.result("", &[("os image", hash)]);
    Ok(())
}

/// Boots of these shapes.
pub(super) fn boots(
    bench: &Bench<'_>,
    shapes: Vec<Shape>,
    output: &Output,
) -> Result<Vec<(Shape, MeasuredBoot)>> {
    let all = shapes.len();
    let mut measured = Vec::with_capacity(all);
    for shape in shapes {
        if measured.len() % 16 == 0 {
            output.waiting(&format!("measuring shape {} of {all}", measured.len() + 1));
        }
        measured.push((shape, bench.boot(shape)?));
    }
    Ok(measured)
}

/// A file that is there whole or not at all.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, bytes)
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| file.display().to_string())
}

/// A shape's registers and the events behind them.
fn described(shape: Shape, boot: &MeasuredBoot) -> Value {
    let events = |events: &[td_measure::MeasuredEvent]| -> Vec<Value> {
        events
            .iter()
            .map(|event| json!({ "name": event.name, "digest": hex::encode(event.digest) }))
            .collect()
    };
    json!({
        "vcpus": shape.vcpus(),
        "memory_mib": shape.memory_mib(),
        "registers": boot.registers(),
        "events": {
            "rtmr0": events(&boot.rtmr0),
            "rtmr1": events(&boot.rtmr1),
            "rtmr2": events(&boot.rtmr2),
        },
    })
}
