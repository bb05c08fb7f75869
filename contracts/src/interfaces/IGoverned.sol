// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Restrict fast, grant slow
/// @notice The owner (in production a timelock) grants and restricts; the guardian can only restrict.
interface IGoverned {
    /// @notice The guardian was replaced; zero means there is none.
    event GuardianSet(address indexed guardian);
    /// @notice The implementation can never be replaced again.
    event UpgradesDisabled();

    /// @notice The caller is neither owner nor guardian.
    error NotOwnerOrGuardian(address caller);
    /// @notice A contract without an owner could never be repaired, so ownership cannot be given up.
    error RenounceRefused();
    /// @notice Upgrades were disabled for good.
    error UpgradesAreDisabled();
    /// @notice A value that must be set was zero.
    error ZeroValue();
    /// @notice An expiry lies in the past.
    error ExpiryInPast(uint64 validUntil, uint64 time);

    /// @notice Replaces the guardian. Owner only.
    /// @param newGuardian The guardian, or zero for none.
    function setGuardian(address newGuardian) external;
    /// @notice Locks the implementation for good. Owner only.
    function disableUpgrades() external;
    /// @notice The account that may only restrict.
    function guardian() external view returns (address);
    /// @notice Whether the implementation is locked.
    function upgradesDisabled() external view returns (bool);
}
