// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

/// @title The four calls by which tools manage an app's allow-lists
/// @notice ERC-165 id `0x8fd37527`.
interface IAppAuthBasicManagement is IERC165 {
    /// @notice A compose hash was added; see {IAppAuthority-ComposeHashAnnounced} for when it takes effect.
    event ComposeHashAdded(bytes32 composeHash);
    /// @notice A compose hash was removed.
    event ComposeHashRemoved(bytes32 composeHash);
    /// @notice A device was added.
    event DeviceAdded(bytes32 deviceId);
    /// @notice A device was removed.
    event DeviceRemoved(bytes32 deviceId);

    /// @notice Allows a compose hash without expiry, after the notice period.
    /// @param composeHash SHA-256 of the compose document.
    function addComposeHash(bytes32 composeHash) external;
    /// @notice Forbids a compose hash at once.
    /// @param composeHash SHA-256 of the compose document.
    function removeComposeHash(bytes32 composeHash) external;
    /// @notice Allows a device.
    /// @param deviceId SHA-256 of the platform's PPID.
    function addDevice(bytes32 deviceId) external;
    /// @notice Forbids a device at once.
    /// @param deviceId SHA-256 of the platform's PPID.
    function removeDevice(bytes32 deviceId) external;
}
