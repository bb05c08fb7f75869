//! First boot, stage by stage.
#![forbid(unsafe_code)]
