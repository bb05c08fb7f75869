//! The processes of a container: its command and its health check.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, User, UserBuilder,
};

use rustix::process::{Resource, getrlimit};

use super::capabilities::{CapabilitySet, resolve};
use super::user::ResolvedUser;
use crate::blueprint::Blueprint;
use crate::error::RuntimeError;

/// Where the init program is in a container that has one.
pub(super) const INIT: &str = "/sbin/docker-init";

/// Open files a process may have when the project says nothing: systemd's hard limit, as Docker's packages set it.
const NOFILE: u64 = 524_288;

/// Capabilities of a blueprint. Names were checked when the compose file was read.
pub(super) fn capabilities(blueprint: &Blueprint) -> CapabilitySet {
    if blueprint.privileged {
        return CapabilitySet::host();
    }
    resolve(&blueprint.cap_add, &blueprint.cap_drop).unwrap_or_else(|_| CapabilitySet::docker())
}

pub(super) fn main_process(blueprint: &Blueprint, user: &ResolvedUser) -> Result<Process, OciSpecError> {
    let mut args = blueprint.args.clone();
    if blueprint.init.is_some() {
        args.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
    }
    process(blueprint, user, args, blueprint.tty)
}

/// The process of a health check as JSON: the container's user, variables and rights.
pub(crate) fn check_process(blueprint: &Blueprint, user: &ResolvedUser) -> Result<Vec<u8>, RuntimeError> {
    let args = blueprint
        .check
        .as_ref()
        .map(|check| check.args.clone())
        .unwrap_or_default();
    let malformed = |got: String| RuntimeError::Malformed {
        what: format!("health check of {}", blueprint.id),
        expected: "values the OCI runtime spec allows",
        got,
    };
    let process = process(blueprint, user, args, false).map_err(|error| malformed(error.to_string()))?;
    serde_json::to_vec(&process).map_err(|error| malformed(error.to_string()))
}

fn process(
    blueprint: &Blueprint,
    user: &ResolvedUser,
    args: Vec<String>,
    terminal: bool,
) -> Result<Process, OciSpecError> {
    let home = user.home.clone().unwrap_or_else(|| "/".to_owned());
    let mut environment = blueprint.environment.clone();
    environment.entry("HOME".to_owned()).or_insert(home);
    let environment: Vec<String> = environment
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    ProcessBuilder::default()
        .terminal(terminal)
        .user(oci_user(user)?)
        .args(args)
        .env(environment)
        .cwd(blueprint.cwd.as_str())
        .capabilities(capabilities(blueprint).to_oci(user.uid == 0)?)
        .rlimits(rlimits(blueprint)?)
        .no_new_privileges(blueprint.no_new_privileges)
        .build()
}

fn oci_user(user: &ResolvedUser) -> Result<User, OciSpecError> {
    let mut groups = user.groups.clone();
    // Docker's process has its own group among the others.
    if !groups.contains(&user.gid) {
        groups.push(user.gid);
    }
    UserBuilder::default()
        .uid(user.uid)
        .gid(user.gid)
        .additional_gids(groups)
        .build()
}

fn rlimits(blueprint: &Blueprint) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let mut all = Vec::new();
    for (name, limit) in &blueprint.ulimits {
        let Some(kind) = rlimit_type(name) else { continue };
        all.push(
            PosixRlimitBuilder::default()
                .typ(kind)
                .soft(limit.soft)
                .hard(limit.hard)
                .build()?,
        );
    }
    if !blueprint.ulimits.contains_key("nofile") {
        // Nobody may raise a limit above what the host gives us.
        let ours = getrlimit(Resource::Nofile).maximum.unwrap_or(NOFILE).min(NOFILE);
        let limit = PosixRlimitBuilder::default()
            .typ(PosixRlimitType::RlimitNofile)
            .soft(ours.min(1024))
            .hard(ours);
        all.push(limit.build()?);
    }
    Ok(all)
}

fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}
