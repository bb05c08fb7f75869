//! Chain state proven at a block, and a boot record, to a verdict.
#![forbid(unsafe_code)]
