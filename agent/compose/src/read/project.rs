//! The top level. Networks, volumes, secrets and configs are read first, so that services are held to them.

use super::{checks, cursor::Cursor, fields::Fields, mount::host_path, network, process::labels, service};
use crate::{
    error::ProblemKind,
    keys,
    model::{FileSource, Network, Project, Volume},
    names::{ConfigName, NameError, NetworkName, SecretName, ServiceName, VolumeName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

/// Services of one file.
pub const MAX_SERVICES: usize = 64;
/// Networks of one file.
pub const MAX_NETWORKS: usize = 32;
/// Named volumes, secrets, configs of one file, each.
pub const MAX_DECLARED: usize = 128;

/// What services may refer to.
pub(crate) struct Declared {
    pub(crate) services: BTreeSet<ServiceName>,
    pub(crate) networks: BTreeMap<NetworkName, Network>,
    pub(crate) volumes: BTreeSet<VolumeName>,
    pub(crate) secrets: BTreeSet<SecretName>,
    pub(crate) configs: BTreeSet<ConfigName>,
}

/// The project; what is wrong with it is in the reader.
pub(crate) fn project(cursor: Cursor<'_>) -> Option<Project> {
    let fields = Fields::open(cursor, keys::TOP)?;
    let mut project = Project {
        name: fields.take("name").and_then(|name| name.parse()),
        ..Project::default()
    };
    if let Some(version) = fields.take("version") {
        version.text("a version, which nothing reads any more");
    }
    if let Some(cursor) = fields.take("networks") {
        project.networks = table(&cursor, MAX_NETWORKS, network::network);
        network::check_networks(&project.networks, &cursor);
    }
    if let Some(cursor) = fields.take("volumes") {
        project.volumes = table(&cursor, MAX_DECLARED, volume);
        checks::volume_names(&project.volumes, &cursor);
    }
    if let Some(cursor) = fields.take("secrets") {
        project.secrets = table(&cursor, MAX_DECLARED, |cursor| source(cursor, keys::SECRET));
    }
    if let Some(cursor) = fields.take("configs") {
        project.configs = table(&cursor, MAX_DECLARED, |cursor| source(cursor, keys::CONFIG));
    }
    if let Some(cursor) = fields.require("services", "a file without services runs nothing") {
        services(&cursor, &mut project);
    }
    fields.finish();
    Some(project)
}

fn bounded<T>(cursor: &Cursor<'_>, entries: &[T], most: usize) -> bool {
    if entries.len() > most {
        let expected = format!("at most {most} entries");
        cursor.report(ProblemKind::Bound, &expected, entries.len().to_string(), "");
    }
    entries.len() <= most
}

/// A table of names. An entry that cannot be read keeps its name, so that what refers to it is not reported too.
fn table<'r, Name, T: Default>(
    cursor: &Cursor<'r>,
    most: usize,
    read: impl Fn(Cursor<'r>) -> Option<T>,
) -> BTreeMap<Name, T>
where
    Name: FromStr<Err = NameError> + Ord,
{
    let entries: Vec<(Name, Cursor<'r>)> = cursor.named().unwrap_or_default();
    if !bounded(cursor, &entries, most) {
        return BTreeMap::new();
    }
    let mut table = BTreeMap::new();
    for (name, cursor) in entries {
        table
            .entry(name)
            .or_insert_with(|| read(cursor).unwrap_or_default());
    }
    table
}

fn volume(cursor: Cursor<'_>) -> Option<Volume> {
    if cursor.is_null() {
        return Some(Volume::default());
    }
    let fields = Fields::open(cursor, keys::VOLUME)?;
    if let Some(driver) = fields.take("driver") {
        driver.choice(&[("local", ())]);
    }
    let volume = Volume {
        name: fields.take("name").and_then(|name| name.parse()),
        labels: fields
            .take("labels")
            .and_then(|list| labels(&list))
            .unwrap_or_default(),
    };
    fields.finish();
    Some(volume)
}

impl Default for FileSource {
    fn default() -> Self {
        Self::Content(String::new())
    }
}

fn source(cursor: Cursor<'_>, section: &'static keys::Section) -> Option<FileSource> {
    let fields = Fields::open(cursor, section)?;
    let file = fields.take_measured("file");
    let environment = fields.take("environment");
    let content = fields.take("content");
    let written = [&file, &environment, &content];
    if written.iter().filter(|source| source.is_some()).count() != 1 {
        fields.cursor.report(
            ProblemKind::Missing,
            "one of `file`, `environment`, `content`",
            "none or several".to_owned(),
            "",
        );
    }
    let file = file.and_then(|path| host_path(&path)).map(FileSource::File);
    let environment = environment.and_then(|name| {
        let expected = "the name of a variable";
        let text = name.words(expected)?;
        let sound = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !sound {
            name.wrong(expected, "write the name alone, without $");
        }
        Some(FileSource::Environment(text))
    });
    let content = content
        .and_then(|text| text.text("text"))
        .map(FileSource::Content);
    fields.finish();
    file.or(environment).or(content)
}

fn services(cursor: &Cursor<'_>, project: &mut Project) {
    let entries: Vec<(ServiceName, Cursor<'_>)> = cursor.named().unwrap_or_default();
    if entries.is_empty() {
        cursor.wrong("at least one service", "");
    }
    if !bounded(cursor, &entries, MAX_SERVICES) {
        return;
    }
    let declared = Declared {
        services: entries.iter().map(|(name, _)| name.clone()).collect(),
        networks: project.networks.clone(),
        volumes: project.volumes.keys().cloned().collect(),
        secrets: project.secrets.keys().cloned().collect(),
        configs: project.configs.keys().cloned().collect(),
    };
    let mut places = Vec::new();
    for (name, cursor) in entries {
        let Some((service, place)) = service::service(cursor, &declared) else {
            continue;
        };
        places.push((name.clone(), place));
        project.services.entry(name).or_insert(service);
    }
    let default = |service: &crate::model::Service| service.networks.contains_key("default");
    if project.services.values().any(default)
        && let Ok(name) = "default".parse()
    {
        project.networks.entry(name).or_default();
    }
    checks::services(project, &places);
}
