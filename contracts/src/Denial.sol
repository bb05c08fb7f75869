// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title Words of a denial: a stable code, then the values that decided
library Denial {
    using Strings for uint256;

    /// @notice `code: text`.
    function text(string memory code, string memory value) internal pure returns (bool, string memory) {
        return (false, string.concat(code, ": ", value));
    }

    /// @notice `code: 0x…` of 32 bytes.
    function hash(string memory code, bytes32 value) internal pure returns (bool, string memory) {
        return data(code, abi.encodePacked(value));
    }

    /// @notice `code: 0x…` of 20 bytes in lower case.
    function account(string memory code, address value) internal pure returns (bool, string memory) {
        return data(code, abi.encodePacked(value));
    }

    /// @notice `code: 0x…` of any length.
    function data(string memory code, bytes memory value) internal pure returns (bool, string memory) {
        return text(code, Strings.toHexString(value));
    }

    /// @notice `code: number`.
    function number(string memory code, uint256 value) internal pure returns (bool, string memory) {
        return text(code, value.toString());
    }

    /// @notice `code: actual < least`.
    function below(string memory code, uint256 actual, uint256 least)
        internal
        pure
        returns (bool, string memory)
    {
        return text(code, string.concat(actual.toString(), " < ", least.toString()));
    }

    /// @notice `code: actual > most`.
    function above(string memory code, uint256 actual, uint256 most)
        internal
        pure
        returns (bool, string memory)
    {
        return text(code, string.concat(actual.toString(), " > ", most.toString()));
    }

    /// @notice `code: 0x… != 0x…`.
    function mismatch(string memory code, address actual, address expected)
        internal
        pure
        returns (bool, string memory)
    {
        return text(
            code,
            string.concat(
                Strings.toHexString(abi.encodePacked(actual)),
                " != ",
                Strings.toHexString(abi.encodePacked(expected))
            )
        );
    }

    /// @notice `expired: what 0x… at time`.
    function expired(string memory what, bytes32 value, uint64 time)
        internal
        pure
        returns (bool, string memory)
    {
        return text(
            "expired",
            string.concat(
                what, " ", Strings.toHexString(abi.encodePacked(value)), " at ", uint256(time).toString()
            )
        );
    }
}
