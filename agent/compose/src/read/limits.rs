//! `deploy`, the older limit keys, `ulimits`, capabilities, `security_opt`, `devices`, `sysctls`, `logging`.

use super::{cursor::Cursor, fields::Fields, health::restart_policy, process::pairs};
use crate::{
    error::ProblemKind,
    keys,
    model::{Device, Limits, Logging, RestartPolicy, ULIMIT_NAMES, Ulimit},
    names::NameError,
    units::ByteSize,
};
use std::{collections::BTreeMap, collections::BTreeSet, str::FromStr};

/// Containers of one service.
pub const MAX_REPLICAS: u32 = 16;

/// What `deploy` says.
#[derive(Default)]
pub(crate) struct Deploy {
    pub(crate) replicas: Option<u16>,
    pub(crate) limits: Limits,
    pub(crate) restart: Option<RestartPolicy>,
}

pub(crate) fn replicas(cursor: &Cursor<'_>) -> Option<u16> {
    u16::try_from(cursor.number(0..=MAX_REPLICAS)?).ok()
}

pub(crate) fn deploy(cursor: Cursor<'_>) -> Option<Deploy> {
    let fields = Fields::open(cursor, keys::DEPLOY)?;
    let deploy = Deploy {
        replicas: fields.take("replicas").and_then(|number| replicas(&number)),
        limits: fields.take("resources").and_then(resources).unwrap_or_default(),
        restart: fields.take("restart_policy").and_then(restart_policy),
    };
    fields.finish();
    Some(deploy)
}

fn resources(cursor: Cursor<'_>) -> Option<Limits> {
    let fields = Fields::open(cursor, keys::RESOURCES)?;
    let limits = fields.take("limits").and_then(limits);
    fields.finish();
    limits
}

fn limits(cursor: Cursor<'_>) -> Option<Limits> {
    let fields = Fields::open(cursor, keys::LIMITS)?;
    let limits = Limits {
        cpus: fields.take("cpus").and_then(|cpus| cpus.parse()),
        memory: fields.take("memory").and_then(|size| memory(&size)),
        pids: fields.take("pids").and_then(|pids| pids.number(1..=4_194_304)),
    };
    fields.finish();
    Some(limits)
}

pub(crate) fn memory(cursor: &Cursor<'_>) -> Option<ByteSize> {
    let size: ByteSize = cursor.parse()?;
    // Docker's own floor; under it a container cannot start.
    let enough = size.0 >= 6 << 20;
    if !enough {
        cursor.wrong("at least 6m of memory", "");
    }
    enough.then_some(size)
}

/// `pids_limit`: -1 and 0 are no limit.
pub(crate) fn pids(cursor: &Cursor<'_>) -> Option<u32> {
    if matches!(cursor.text("a number of processes")?.as_str(), "-1" | "0") {
        return None;
    }
    cursor.number(1..=4_194_304)
}

pub(crate) fn ulimits(cursor: &Cursor<'_>) -> Option<BTreeMap<String, Ulimit>> {
    let mut ulimits = BTreeMap::new();
    for (name, value) in cursor.entries()? {
        if !ULIMIT_NAMES.contains(&name) {
            let actual = format!("`{}`", crate::names::shorten(name));
            let expected = format!("one of {}", ULIMIT_NAMES.join(", "));
            value.report(ProblemKind::Value, &expected, actual, "");
            continue;
        }
        if let Some(limit) = ulimit(&value) {
            ulimits.insert(name.to_owned(), limit);
        }
    }
    Some(ulimits)
}

fn ulimit(cursor: &Cursor<'_>) -> Option<Ulimit> {
    if !cursor.is_map() {
        let both = limit(cursor)?;
        return Some(Ulimit {
            soft: both,
            hard: both,
        });
    }
    let fields = Fields::open(cursor.clone(), keys::ULIMIT)?;
    let soft = fields.require("soft", "").and_then(|value| limit(&value));
    let hard = fields.require("hard", "").and_then(|value| limit(&value));
    fields.finish();
    let (soft, hard) = (soft?, hard?);
    if soft > hard {
        cursor.report(
            ProblemKind::Value,
            "a soft limit not over the hard one",
            format!("{soft} over {hard}"),
            "",
        );
    }
    Some(Ulimit { soft, hard })
}

fn limit(cursor: &Cursor<'_>) -> Option<u64> {
    cursor.convert(|text| match text {
        "-1" => Ok(u64::MAX),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse()
            .map_err(|_| NameError::new("a limit from 0, or -1 for none", text)),
        _ => Err(NameError::new("a limit from 0, or -1 for none", text)),
    })
}

/// A list of values of one type, each once.
pub(crate) fn set<T: FromStr<Err = NameError> + Ord + Clone>(cursor: &Cursor<'_>) -> Option<Vec<T>> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for item in cursor.list()? {
        let Some(value) = item.parse::<T>() else { continue };
        if seen.insert(value.clone()) {
            list.push(value);
        } else {
            let actual = format!("{} again", item.shown());
            item.report(ProblemKind::Duplicate, "each entry once", actual, "remove one");
        }
    }
    Some(list)
}

/// `security_opt`: whether no-new-privileges is on.
pub(crate) fn security_opt(cursor: &Cursor<'_>) -> Option<bool> {
    let mut on = false;
    for item in cursor.list()? {
        match item.text("no-new-privileges:true")?.as_str() {
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => on = true,
            "no-new-privileges:false" | "no-new-privileges=false" => on = false,
            _ => item.report(
                ProblemKind::Unsupported,
                "no-new-privileges:true or no-new-privileges:false",
                item.shown(),
                "leave it out; the guest has no AppArmor or SELinux, and seccomp is not set by a file",
            ),
        }
    }
    Some(on)
}

pub(crate) fn devices(cursor: &Cursor<'_>) -> Option<Vec<Device>> {
    let items = cursor.list()?;
    Some(items.iter().filter_map(device).collect())
}

fn device(cursor: &Cursor<'_>) -> Option<Device> {
    let (source, target, permissions) = if cursor.is_map() {
        let fields = Fields::open(cursor.clone(), keys::DEVICE)?;
        let text = |key| fields.take(key).and_then(|value| value.words("a path"));
        let parts = (
            fields
                .require("source", "")
                .and_then(|source| source.words("a path")),
            text("target"),
            text("permissions"),
        );
        fields.finish();
        (parts.0?, parts.1, parts.2)
    } else {
        let text = cursor.words("/dev/NAME[:/dev/NAME[:rwm]]")?;
        let mut parts = text.split(':').map(str::to_owned);
        let parts = (parts.next()?, parts.next(), parts.next(), parts.next());
        if parts.3.is_some() {
            cursor.wrong("/dev/NAME[:/dev/NAME[:rwm]]", "");
            return None;
        }
        (parts.0, parts.1, parts.2)
    };
    let target = target.unwrap_or_else(|| source.clone());
    let permissions = permissions.unwrap_or_else(|| "rwm".to_owned());
    let is_device = |path: &str| {
        path.strip_prefix("/dev/")
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
    };
    let letters = permissions.bytes().all(|b| b"rwm".contains(&b)) && (1..=3).contains(&permissions.len());
    if !is_device(&source) || !is_device(&target) || !letters {
        cursor.wrong("/dev/NAME[:/dev/NAME[:rwm]]", "");
        return None;
    }
    Some(Device {
        source,
        target,
        permissions,
    })
}

/// `sysctls`: only those that belong to a container's own namespaces.
pub(crate) fn sysctls(cursor: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let mut sysctls = BTreeMap::new();
    for pair in pairs(cursor, &['='])? {
        let own = ["net.", "fs.mqueue.", "kernel.shm", "kernel.msg", "kernel.sem"];
        let sound = own.iter().any(|prefix| pair.key.starts_with(prefix))
            && pair.key.split('.').all(|part| !part.is_empty())
            && pair
                .key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        match pair.value {
            Some(value) if sound => {
                sysctls.insert(pair.key, value);
            }
            // A setting outside a container's namespaces would change the guest and everyone in it.
            _ => pair.cursor.wrong(
                "NAME=value with a name under net., fs.mqueue., kernel.shm, kernel.msg, kernel.sem",
                "other settings are the guest's",
            ),
        }
    }
    Some(sysctls)
}

pub(crate) fn logging(cursor: Cursor<'_>) -> Option<Logging> {
    let fields = Fields::open(cursor, keys::LOGGING)?;
    if let Some(driver) = fields.take("driver") {
        driver.choice(&[("json-file", ()), ("local", ())]);
    }
    let options = fields.take("options").and_then(log_options);
    fields.finish();
    Some(options.unwrap_or_default())
}

fn log_options(cursor: Cursor<'_>) -> Option<Logging> {
    let fields = Fields::open(cursor, keys::LOG_OPTIONS)?;
    let size = fields
        .take("max-size")
        .and_then(|size| size.parse::<ByteSize>().map(|value| (value, size)));
    if let Some((_, cursor)) = size.as_ref().filter(|(size, _)| size.0 < 4096) {
        cursor.wrong("at least 4k", "");
    }
    let logging = Logging {
        max_size: size.map(|(size, _)| size),
        max_file: fields.take("max-file").and_then(|files| files.number(1..=100)),
    };
    fields.finish();
    Some(logging)
}
