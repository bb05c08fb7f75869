//! A trust domain as its software sees it.
#![forbid(unsafe_code)]
