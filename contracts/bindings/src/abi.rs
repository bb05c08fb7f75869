//! Types generated from the committed artifacts, one module for each contract. Nothing here is written by hand.
#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    KmsAuthority,
    "../artifacts/KmsAuthority.json"
);

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    AppAuthority,
    "../artifacts/AppAuthority.json"
);

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    ERC1967Proxy,
    "../artifacts/ERC1967Proxy.json"
);

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    TimelockController,
    "../artifacts/TimelockController.json"
);
