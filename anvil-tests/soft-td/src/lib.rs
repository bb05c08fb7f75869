//! A software TDX platform with its own roots and collateral.
#![forbid(unsafe_code)]
