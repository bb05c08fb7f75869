//! The folder QEMU is started from: an unpacked set of packages with their own libraries, so measurement and boot use the same
//! program on every machine. Programs are started by the folder's own dynamic linker. Refuses another series of QEMU than the one
//! the machine type is pinned to.

use crate::RunnerError;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// QEMU's machine type; its ACPI tables are part of RTMR0.
pub const MACHINE: &str = "pc-q35-11.1";
/// Machine types before it, as the same QEMU still makes them: a boot that was not measured with ours may show one of these.
pub const OLDER_MACHINES: [&str; 8] = [
    "pc-q35-11.0",
    "pc-q35-10.2",
    "pc-q35-10.1",
    "pc-q35-10.0",
    "pc-q35-9.2",
    "pc-q35-9.1",
    "pc-q35-9.0",
    "pc-q35-8.2",
];
/// Series of QEMU that images are measured and run with.
pub const QEMU_SERIES: &str = "11.1.";

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LINKER: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
const QEMU: &str = "usr/bin/qemu-system-x86_64";
const MODULES: &str = "usr/lib/x86_64-linux-gnu/qemu";
const DATA: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// A tool folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRoot {
    folder: PathBuf,
}

impl ToolRoot {
    /// The tools in a folder. Asks QEMU for its version.
    ///
    /// # Errors
    /// When a part is missing, QEMU does not start, or is of another series.
    pub fn new(folder: &Path) -> Result<Self, RunnerError> {
        let fault = |expected: String, actual: String| RunnerError::Tools {
            folder: folder.display().to_string(),
            expected,
            actual,
        };
        for part in [LINKER, QEMU, MODULES] {
            if !folder.join(part).exists() {
                return Err(fault(part.to_owned(), "nothing there".to_owned()));
            }
        }
        let tools = Self {
            folder: std::fs::canonicalize(folder).map_err(RunnerError::io(folder))?,
        };
        let output = tools
            .qemu(["-version".into()])
            .output()
            .map_err(RunnerError::io(folder))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("QEMU emulator version "));
        match version {
            Some(version) if version.starts_with(QEMU_SERIES) => Ok(tools),
            _ => {
                let shown = [text.as_ref(), &String::from_utf8_lossy(&output.stderr)].concat();
                let shown = shown.lines().next().unwrap_or("no word").to_owned();
                Err(fault(format!("QEMU {QEMU_SERIES}x"), shown))
            }
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that starts QEMU with these arguments and nothing of this process's environment.
    pub fn qemu(&self, arguments: impl IntoIterator<Item = OsString>) -> Command {
        let data = DATA
            .iter()
            .flat_map(|data| ["-L".into(), self.folder.join(data).into_os_string()]);
        let mut command = self.program(QEMU, data.chain(arguments));
        command.env("QEMU_MODULE_DIR", self.folder.join(MODULES));
        command
    }

    /// A command that starts a program of the folder, as [`ToolRoot::qemu`] does.
    pub(crate) fn program(&self, program: &str, arguments: impl IntoIterator<Item = OsString>) -> Command {
        let mut command = Command::new(self.folder.join(LINKER));
        command
            .arg("--library-path")
            .arg(self.folder.join(LIBRARIES))
            .arg(self.folder.join(program))
            .args(arguments)
            .env_clear()
            .env("LC_ALL", "C");
        command
    }
}
