// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TcbStatus} from "./BootRecord.sol";

/// @title Intel's spelling of TCB statuses
library TcbStatuses {
    /// @notice The status's bit in a set.
    function bit(TcbStatus status) internal pure returns (uint16) {
        return uint16(1) << uint8(status);
    }

    /// @notice The status of a name; `known` is false for any other text.
    function parse(string calldata name) internal pure returns (bool known, TcbStatus status) {
        bytes32 id = keccak256(bytes(name));
        if (id == keccak256("UpToDate")) return (true, TcbStatus.UpToDate);
        if (id == keccak256("SWHardeningNeeded")) return (true, TcbStatus.SWHardeningNeeded);
        if (id == keccak256("ConfigurationNeeded")) return (true, TcbStatus.ConfigurationNeeded);
        if (id == keccak256("ConfigurationAndSWHardeningNeeded")) {
            return (true, TcbStatus.ConfigurationAndSWHardeningNeeded);
        }
        if (id == keccak256("TDRelaunchAdvised")) return (true, TcbStatus.TDRelaunchAdvised);
        if (id == keccak256("TDRelaunchAdvisedConfigurationNeeded")) {
            return (true, TcbStatus.TDRelaunchAdvisedConfigurationNeeded);
        }
        if (id == keccak256("OutOfDate")) return (true, TcbStatus.OutOfDate);
        if (id == keccak256("OutOfDateConfigurationNeeded")) {
            return (true, TcbStatus.OutOfDateConfigurationNeeded);
        }
        if (id == keccak256("Revoked")) return (true, TcbStatus.Revoked);
        return (false, TcbStatus.Revoked);
    }

    /// @notice Whether a newer TCB exists for the platform.
    function outOfDate(TcbStatus status) internal pure returns (bool) {
        return status == TcbStatus.OutOfDate || status == TcbStatus.OutOfDateConfigurationNeeded;
    }
}
