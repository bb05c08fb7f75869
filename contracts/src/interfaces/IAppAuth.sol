// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {AppBootInfo} from "../BootRecord.sol";

/// @title Boot permission, version 1
/// @notice Any contract with this function can be an app's authority. ERC-165 id `0x1e079198`.
interface IAppAuth is IERC165 {
    /// @notice Says whether the described trust domain may have the app's keys.
    /// @param bootInfo Facts established from a verified quote by the caller.
    /// @return isAllowed Whether it may.
    /// @return reason Empty when allowed, else a denial (see {IAppAuthV2}).
    function isAppAllowed(AppBootInfo calldata bootInfo)
        external
        view
        returns (bool isAllowed, string memory reason);
}
