//! `kedge os explain`: what differs between an image on a VM shape and a boot that a quote or a firmware's log shows; tries other
//! shapes before it names an input. Verifies no signature: a quote is taken as it stands.

use super::{
    difference::{Older, Register, Shown},
    no,
    tools::tools,
    words,
};
use crate::{
    cli::Explain,
    exit::{Refused, Verdict},
    output::{Output, line},
};
use anyhow::{Context, Result, bail};
use guest_files::read_bounded;
use serde_json::{Value, json};
use std::path::Path;
use td_measure::{CcLog, FwCfgDigests, MAX_CCEL, MeasuredBoot, Measurer, Memory, PageOrder, Tdvf, mrtd};
use vm_runner::{Bench, Image, LoadedImage, MACHINE, OLDER_MACHINES, Shape};

/// Bytes of a file with a quote: hex, with an event log beside it.
const MAX_QUOTE_FILE: usize = 4 << 20;
/// Exit code of something that said no.
const DIFFERS: u8 = 3;
const VCPUS: [u16; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const MEMORY: [u64; 12] = [
    512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768, 65536,
];

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, QEMU gives no tables, or something differs.
pub(super) fn run(asked: &Explain, output: &Output) -> Result<()> {
    let shown = shown(asked)?;
    let contradictions = shown.contradictions();
    if !contradictions.is_empty() {
        let registers = contradictions.join(", ");
        return Err(Refused(format!(
            "the log does not lead to the quote's {registers}: it is of another boot"
        ))
        .into());
    }
    let image = Image::open(&asked.image).map_err(no)?;
    let tools = tools(asked.tools.as_deref(), &image)?;
    output.waiting("checking the image");
    image.check().map_err(no)?;
    let image = LoadedImage::read(image)?;
    let bench = image.bench(&tools)?;
    let shape = Shape::new(asked.vcpus, asked.memory)?;
    let first = bench.boot(shape)?;
    let mut found = Found {
        shape,
        right: shown.has_shape_of(&first),
        boot: first,
        tried: 1,
        machine: None,
    };
    if !found.right {
        output.waiting("older machine types of QEMU");
        found.machine = OLDER_MACHINES.into_iter().find(|machine| {
            let boot = bench.boot_as(shape, machine);
            boot.is_ok_and(|boot| shown.has_shape_of(&boot))
        });
    }
    if !found.right && found.machine.is_none() {
        output.waiting("other shapes");
        // The image's own first: for these it is meant, whatever the common ones are.
        let mut shapes = image.image().shapes()?;
        shapes.retain(|shape| possible(bench.measurer(), &shown, shape.memory()));
        for shape in candidates(bench.measurer(), &shown, shape)? {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        shapes.retain(|other| *other != shape);
        search(&bench, &shown, &shapes, &mut found);
    }
    let older = Older {
        mrtd: mrtd(
            bench.firmware(),
            &Tdvf::parse(bench.firmware())?,
            PageOrder::SectionBySection,
        ),
        rtmr1: bench.measurer().older_rtmr1(found.shape.memory())?,
    };
    report(&shown, shape, &found, &older, output)
}

fn shown(asked: &Explain) -> Result<Shown> {
    let registers = match &asked.quote {
        Some(path) => {
            let quote = quote(path)?;
            let described =
                attestation::describe(&quote).with_context(|| format!("quote {}", path.display()))?;
            Some(described.os)
        }
        None => None,
    };
    let log = match &asked.ccel {
        Some(path) => {
            let bytes = read_bounded(path, MAX_CCEL)?;
            Some(CcLog::parse(&bytes).with_context(|| format!("log {}", path.display()))?)
        }
        None => None,
    };
    if registers.is_none() && log.is_none() {
        bail!("expected --quote, --ccel, or both, got neither");
    }
    Ok(Shown { registers, log })
}

/// A quote as it stands, in hex, or as `quote` of a JSON object.
fn quote(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bounded(path, MAX_QUOTE_FILE)?;
    let decode = |text: &str| hex::decode(text.trim().trim_start_matches("0x")).ok();
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(bytes.to_vec());
    };
    let object = serde_json::from_str::<Value>(text).ok();
    let inside = object.as_ref().and_then(|object| object.get("quote")?.as_str());
    inside.map_or_else(|| decode(text), decode).with_context(|| {
        format!(
            "quote {}: expected bytes, hex, or JSON with \"quote\" in hex",
            path.display()
        )
    })
}

/// The shape to compare with, whether it is the right one, and its boot.
struct Found {
    shape: Shape,
    right: bool,
    boot: MeasuredBoot,
    tried: usize,
    /// Another machine type of QEMU whose tables these are.
    machine: Option<&'static str>,
}

/// Tries shapes until one is right.
fn search(bench: &Bench<'_>, shown: &Shown, shapes: &[Shape], found: &mut Found) {
    for shape in shapes.iter().copied() {
        // This machine may not have the address space for it; what was not tried is not counted.
        let Ok(boot) = bench.boot(shape) else {
            continue;
        };
        found.tried += 1;
        let right = shown.has_shape_of(&boot);
        // The shape's own memory, when the log says it, so that it is not told as what differs.
        let nearer = !shown.has_memory_of(&found.boot) && shown.has_memory_of(&boot);
        if right || nearer {
            found.shape = shape;
            found.boot = boot;
        }
        found.right = right;
        if right {
            break;
        }
    }
}

/// Whether what is shown can be of a VM with this memory.
fn possible(measurer: &Measurer<'_>, shown: &Shown, memory: Memory) -> bool {
    let none = FwCfgDigests {
        settings: Vec::new(),
        loader: [0; 48],
        rsdp: [0; 48],
        tables: [0; 48],
        smbios: [0; 48],
    };
    let boot = measurer.boot(memory, &none);
    boot.is_ok_and(|boot| shown.has_memory_of(&boot))
}

/// Common shapes, the asked one's memory and vCPUs first; only memory that what is shown leaves possible.
fn candidates(measurer: &Measurer<'_>, shown: &Shown, asked: Shape) -> Result<Vec<Shape>> {
    let mut all = vec![asked.memory_mib()];
    all.extend(MEMORY.iter().filter(|mib| **mib != asked.memory_mib()));
    let mut likely = Vec::new();
    for mib in &all {
        if possible(measurer, shown, Memory::mib(*mib)?) {
            likely.push(*mib);
        }
    }
    let mut vcpus = vec![asked.vcpus()];
    vcpus.extend(VCPUS.iter().filter(|vcpus| **vcpus != asked.vcpus()));
    let mut shapes = Vec::new();
    for mib in &likely {
        for vcpus in &vcpus {
            shapes.push(Shape::new(*vcpus, *mib)?);
        }
    }
    if likely.is_empty() {
        // Another kernel: one dimension at a time.
        for vcpus in &vcpus {
            shapes.push(Shape::new(*vcpus, asked.memory_mib())?);
        }
        for mib in &all {
            shapes.push(Shape::new(asked.vcpus(), *mib)?);
        }
    }
    shapes.retain(|shape| *shape != asked);
    Ok(shapes)
}

fn report(shown: &Shown, asked: Shape, found: &Found, older: &Older, output: &Output) -> Result<()> {
    let registers = shown.against(&found.boot, older);
    let of_image = registers.iter().all(|register| register.same != Some(false));
    let ok = of_image && found.right && found.shape == asked;
    if output.is_json() {
        let json_of = |shape: Shape| json!({ "vcpus": shape.vcpus(), "memory_mib": shape.memory_mib() });
        line(json!({
            "ok": ok,
            "of_image": of_image,
            "asked": json_of(asked),
            "shape": found.right.then(|| json_of(found.shape)),
            "compared_with": json_of(found.shape),
            "shapes_tried": found.tried,
            "machine": found.machine,
            "registers": registers.iter().map(Register::json).collect::<Vec<_>>(),
        }));
    } else {
        let compared = words(found.shape);
        match (found.right, found.shape == asked) {
            (true, true) => line(format_args!("shape   {compared}")),
            (true, false) => line(format_args!(
                "shape   DIFFERS: {compared}; asked for {}",
                words(asked)
            )),
            (false, _) => line(format_args!(
                "shape   none of {} tried; below, the image on {compared}",
                found.tried
            )),
        }
        if let Some(machine) = found.machine {
            line(format_args!(
                "machine DIFFERS: the tables of QEMU's {machine}, not of {MACHINE}"
            ));
        }
        for register in &registers {
            line(format_args!("{:7} {}", register.name, register.word()));
            for difference in &register.differences {
                line(format_args!("        {difference}"));
            }
        }
    }
    if ok {
        Ok(())
    } else {
        Err(Verdict::Said(DIFFERS).into())
    }
}
