// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Ownable2StepUpgradeable
} from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {
    ERC165Upgradeable
} from "@openzeppelin/contracts-upgradeable/utils/introspection/ERC165Upgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {IGoverned} from "./interfaces/IGoverned.sol";

/// @title Owner grants, guardian restricts
abstract contract Governed is
    Initializable,
    Ownable2StepUpgradeable,
    UUPSUpgradeable,
    ERC165Upgradeable,
    IGoverned
{
    address private _guardian;
    bool private _upgradesDisabled;
    uint256[9] private __gapGoverned;

    // S1: everything behind this modifier must only ever narrow what is allowed.
    modifier onlyRestrictor() {
        _checkRestrictor();
        _;
    }

    /// @inheritdoc IGoverned
    function setGuardian(address newGuardian) external onlyOwner {
        _guardian = newGuardian;
        emit GuardianSet(newGuardian);
    }

    /// @inheritdoc IGoverned
    function disableUpgrades() external onlyOwner {
        _disableUpgrades();
    }

    /// @inheritdoc IGoverned
    function guardian() external view returns (address) {
        return _guardian;
    }

    /// @inheritdoc IGoverned
    function upgradesDisabled() external view returns (bool) {
        return _upgradesDisabled;
    }

    /// @notice Refuses: a contract without an owner could restrict but never again grant.
    function renounceOwnership() public view override(OwnableUpgradeable) onlyOwner {
        revert RenounceRefused();
    }

    function _disableUpgrades() internal {
        _upgradesDisabled = true;
        emit UpgradesDisabled();
    }

    // S2: the owner is the only way in; behind a timelock that is the delay.
    function _authorizeUpgrade(address) internal virtual override onlyOwner {
        if (_upgradesDisabled) revert UpgradesAreDisabled();
    }

    // S3: asks for no delay and no second voice; a restriction that had to wait would leave the door open meanwhile.
    function _checkRestrictor() internal view {
        if (msg.sender != owner() && msg.sender != _guardian) revert NotOwnerOrGuardian(msg.sender);
    }

    /// @dev For setters that work both ways: `grants` says which way this call goes.
    function _checkDirection(bool grants) internal view {
        if (grants) _checkOwner();
        else _checkRestrictor();
    }

    function _requireSet(bytes32 value) internal pure {
        if (value == bytes32(0)) revert ZeroValue();
    }

    function _requireFuture(uint64 validUntil) internal view {
        if (validUntil <= block.timestamp) revert ExpiryInPast(validUntil, uint64(block.timestamp));
    }
}
