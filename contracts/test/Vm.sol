// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The cheatcodes of Foundry these tests use
interface Vm {
    function warp(uint256 time) external;
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function assume(bool condition) external pure;
    function expectRevert() external;
    function expectRevert(bytes calldata data) external;
    function expectEmit(address emitter) external;
    function getCode(string calldata artifact) external view returns (bytes memory);
    function etch(address target, bytes calldata code) external;
    function assertTrue(bool condition, string calldata text) external pure;
    function assertFalse(bool condition, string calldata text) external pure;
    function assertEq(uint256 a, uint256 b, string calldata text) external pure;
    function assertEq(address a, address b, string calldata text) external pure;
    function assertEq(bytes32 a, bytes32 b, string calldata text) external pure;
    function assertEq(string calldata a, string calldata b, string calldata text) external pure;
    function assertEq(bytes calldata a, bytes calldata b, string calldata text) external pure;
}
