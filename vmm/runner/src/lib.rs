//! A runner for one virtual machine: what QEMU is told ([`arguments`]), the process it runs in ([`Vm`]), its console and reports,
//! and on machines without TDX the software TD beside it ([`SoftTd`]).
//!
//! Every argument that reaches a register is fixed here or is part of the [`Shape`]; nothing is taken from QEMU's defaults, the
//! user's configuration or the machine. Refuses an image that is not what its `image.json` says, a tool folder with another QEMU,
//! and to go on without what was asked for: there is no fall-back from `tdx` to anything else. A VM ends with its runner.
#![forbid(unsafe_code)]

mod accel;
mod argv;
mod config;
mod console;
mod error;
mod folder;
mod fw_cfg;
mod image;
mod measure;
mod probe;
mod process;
mod progress;
mod qmp;
mod soft_td;
mod tools;
mod vm;
mod words;

pub use accel::{accelerator_usable, tdx_usable};
pub use argv::{Places, TD_PORTS, arguments};
pub use config::{Accelerator, Forward, Platform, QuoteSocket, Shape, TdxOptions, VmConfig};
pub use console::MAX_CONSOLE_LOG;
pub use error::RunnerError;
pub use fw_cfg::FwCfg;
pub use image::{Image, ImageFile, MAX_IMAGE_JSON};
pub use measure::{Bench, LoadedImage};
pub use progress::MAX_PROGRESS_LINE;
pub use soft_td::SoftTd;
pub use tools::{MACHINE, OLDER_MACHINES, QEMU_SERIES, ToolRoot};
pub use vm::{Ended, MAX_HOST_DOCUMENT, Status, Vm, VmEvent};
