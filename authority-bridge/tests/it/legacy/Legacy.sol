// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Authorities of version 1 alone, for tests of callers
/// @notice They know neither the extended record nor `networkState()`, and word their denials their own way.

struct AppBootInfo {
    address appId;
    bytes32 composeHash;
    address instanceId;
    bytes32 deviceId;
    bytes32 mrAggregated;
    bytes32 mrSystem;
    bytes32 osImageHash;
    string tcbStatus;
    string[] advisoryIds;
}

interface IVersionOne {
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory);
}

/// @notice An app's authority.
contract LegacyApp is IVersionOne {
    mapping(bytes32 => bool) public allowedComposeHashes;

    function addComposeHash(bytes32 composeHash) external {
        allowedComposeHashes[composeHash] = true;
    }

    function removeComposeHash(bytes32 composeHash) external {
        allowedComposeHashes[composeHash] = false;
    }

    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        if (!allowedComposeHashes[bootInfo.composeHash]) return (false, "Compose hash not allowed");
        return (true, "");
    }
}

/// @notice A network's authority, with the gateway and the factory's implementation.
contract LegacyKms is IVersionOne {
    string public gatewayAppId;
    address public appImplementation;
    mapping(address => bool) public registeredApps;
    mapping(bytes32 => bool) public kmsAllowedAggregatedMrs;
    mapping(bytes32 => bool) public allowedOsImages;

    function setGatewayAppId(string calldata appId) external {
        gatewayAppId = appId;
    }

    function setAppImplementation(address implementation) external {
        appImplementation = implementation;
    }

    function registerApp(address appId) external {
        registeredApps[appId] = true;
    }

    function addKmsAggregatedMr(bytes32 mrAggregated) external {
        kmsAllowedAggregatedMrs[mrAggregated] = true;
    }

    function addOsImageHash(bytes32 osImageHash) external {
        allowedOsImages[osImageHash] = true;
    }

    function isKmsAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        if (!allowedOsImages[bootInfo.osImageHash]) return (false, "OS image is not allowed");
        if (!kmsAllowedAggregatedMrs[bootInfo.mrAggregated]) return (false, "Aggregated MR not allowed");
        return (true, "");
    }

    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        if (!registeredApps[bootInfo.appId]) return (false, "App not registered");
        if (!allowedOsImages[bootInfo.osImageHash]) return (false, "OS image is not allowed");
        return IVersionOne(bootInfo.appId).isAppAllowed(bootInfo);
    }
}

/// @notice Nothing but the two questions.
contract BareKms {
    mapping(bytes32 => bool) public allowedOsImages;

    function addOsImageHash(bytes32 osImageHash) external {
        allowedOsImages[osImageHash] = true;
    }

    function isKmsAllowed(AppBootInfo calldata) external pure returns (bool, string memory) {
        return (false, "No KMS here");
    }

    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        if (!allowedOsImages[bootInfo.osImageHash]) return (false, "OS image is not allowed");
        return (true, "");
    }
}
