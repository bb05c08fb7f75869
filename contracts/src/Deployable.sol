// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Compiled beside our own contracts because a deployment needs their bytecode: the proxy in front of every
// authority, and the owner of a production network.
// forge-lint: disable-next-item(unused-import)
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
// forge-lint: disable-next-item(unused-import)
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
