//! `kedge os verify-image`: whether an image's parts belong together. Files are compared with `image.json`, the root with the hash on
//! the measured command line, and the catalogue with what the files measure to. Who built the image, and from what, it cannot say:
//! whoever builds the same source compares the files.

use super::{measure::boots, no, tools::tools};
use crate::{cli::VerifyImage, exit::Refused, output::Output};
use anyhow::{Context, Result};
use guest_files::read_bounded;
use serde_json::json;
use td_measure::{Catalogue, MAX_CATALOGUE_JSON};
use vm_runner::{Image, LoadedImage};

/// Runs the command.
///
/// # Errors
/// [`Refused`] when something does not belong to the rest; others when it cannot be told.
pub(super) fn run(asked: &VerifyImage, output: &Output) -> Result<()> {
    let path = asked
        .catalogue
        .clone()
        .unwrap_or_else(|| asked.image.join("catalogue.json"));
    let image = Image::open(&asked.image).map_err(no)?;
    let tools = tools(asked.tools.as_deref(), &image)?;
    output.waiting("files");
    image.check().map_err(no)?;
    output.waiting("root");
    image.check_root(&tools).map_err(no)?;
    let text = read_bounded(&path, MAX_CATALOGUE_JSON)?;
    let catalogue = Catalogue::from_json(&text).with_context(|| path.display().to_string())?;
    let hash = catalogue.os_image_hash();
    if let Some(expected) = asked.os_image
        && expected != hash
    {
        return Err(Refused(format!("catalogue: expected OS image {expected}, got {hash}")).into());
    }
    let shapes = image.shapes().map_err(no)?;
    let count = shapes.len();
    let image = LoadedImage::read(image)?;
    let measured = boots(&image.bench(&tools)?, shapes, output)?;
    let measured = Catalogue::from_measurements(measured.iter().map(|(_, boot)| boot.registers()))?;
    if measured.os_image_hash() != hash {
        let foreign = catalogue
            .measurements()
            .iter()
            .filter(|one| !measured.measurements().contains(one));
        return Err(Refused(format!(
            "catalogue: expected OS image {}, as the files measure on the {count} shapes of image.json, got {hash}; {} of its {} \
             measurements are of no such boot",
            measured.os_image_hash(),
            foreign.count(),
            catalogue.measurements().len()
        ))
        .into());
    }
    // A folder that holds together can still be a stranger's.
    let network = match asked.os_image {
        Some(_) => "allows this hash, as it was given",
        None => "not compared: give the hash it allows with --os-image",
    };
    output.result(
        "",
        &[
            ("ok", json!(true)),
            ("os image", json!(hash)),
            ("shapes", json!(count)),
            ("network", json!(network)),
        ],
    );
    Ok(())
}
