// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AppBootInfo, BootRecord, KmsIdentity, NetworkState} from "../BootRecord.sol";

/// @title The authority of one network: who may have keys, and under which key epoch
/// @notice The questions of version 1 are answered from the same rules as those of version 2, on the facts version 1
/// carries; rules about facts it lacks (root, TDX module, FMSPC, evaluation number, epoch) cannot be applied to it.
interface IKmsAuthority {
    /// @notice The KMS as callers of version 1 know it.
    struct KmsInfo {
        bytes k256Pubkey;
        bytes caPubkey;
        bytes quote;
        bytes eventlog;
    }

    /// @notice An app was registered.
    event AppRegistered(address appId);
    /// @notice An app was struck off; only the owner can register it again.
    event AppUnregistered(address indexed appId);
    /// @notice An app was deployed and registered in one transaction.
    event AppDeployedViaFactory(address indexed appId, address indexed deployer);
    /// @notice The KMS description was set.
    event KmsInfoSet(bytes k256Pubkey);
    /// @notice An aggregated measurement of a KMS was allowed.
    event KmsAggregatedMrAdded(bytes32 mrAggregated);
    /// @notice An aggregated measurement of a KMS was forbidden.
    event KmsAggregatedMrRemoved(bytes32 mrAggregated);
    /// @notice A KMS device was allowed.
    event KmsDeviceAdded(bytes32 deviceId);
    /// @notice A KMS device was forbidden.
    event KmsDeviceRemoved(bytes32 deviceId);
    /// @notice An OS image was allowed.
    event OsImageHashAdded(bytes32 osImageHash);
    /// @notice An OS image was forbidden.
    event OsImageHashRemoved(bytes32 osImageHash);
    /// @notice A measurement just allowed will expire.
    event MeasurementExpires(bytes32 indexed measurement, uint64 validUntil);
    /// @notice The gateway's app id was set.
    event GatewayAppIdSet(string gatewayAppId);
    /// @notice The implementation used by the factory was set.
    event AppImplementationSet(address implementation);
    /// @notice The app id of the network's KMS was set.
    event KmsAppIdSet(address indexed kmsAppId);
    /// @notice A key epoch began.
    event KeyEpochRecorded(uint32 indexed epoch, bytes k256Pubkey, bytes32 caSpkiHash, bytes32 hpkeKey);
    /// @notice Keys of epochs below this one are no longer released.
    event MinKeyEpochSet(uint32 indexed epoch);
    /// @notice Every release was stopped, or resumed.
    event ReleasePausedSet(bool paused);
    /// @notice A node committed to its release log of `treeSize` entries.
    event LogAnchored(uint64 treeSize, bytes32 root, address indexed node);
    /// @notice `source` states that it gave the root of an epoch to the node whose identity hashes to `target`.
    event NodeOnboarded(address indexed source, bytes32 indexed target, uint32 indexed epoch);

    /// @notice The app was struck off; registering it again is the owner's.
    error AppWasUnregistered(address appId);
    /// @notice The factory has no implementation.
    error AppImplementationNotSet();
    /// @notice There is no code at the address.
    error NotAContract(address account);
    /// @notice Epochs are recorded one after another and never changed.
    error UnexpectedKeyEpoch(uint32 epoch, uint32 expected);
    /// @notice The least epoch must be one that exists.
    error MinKeyEpochOutOfRange(uint32 epoch, uint32 newest);
    /// @notice A public key has the wrong length.
    error WrongKeyLength(uint256 actual, uint256 expected);
    /// @notice A log only grows.
    error LogDidNotGrow(uint64 treeSize, uint64 anchored);

    /// @notice Initialises a proxy: only `UpToDate` platforms, no attestation root yet, hence nothing allowed.
    /// @param initialOwner Owner of the network.
    /// @param appImplementation_ Implementation for the factory, or zero for none.
    function initialize(address initialOwner, address appImplementation_) external;

    /// @notice Registers an app; grants nothing by itself, so anyone may.
    function registerApp(address appId) external;
    /// @notice Strikes an app off.
    function unregisterApp(address appId) external;
    /// @notice Deploys and registers an app whose TCB status is left to the network's policy.
    /// @return appId The app's id and the address of its authority.
    function deployAndRegisterApp(
        address initialOwner,
        bool disableUpgrades,
        bool allowAnyDevice,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) external returns (address appId);
    /// @notice Deploys and registers an app.
    /// @return appId The app's id and the address of its authority.
    function deployAndRegisterApp(
        address initialOwner,
        bool disableUpgrades,
        bool requireTcbUpToDate,
        bool allowAnyDevice,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) external returns (address appId);

    /// @notice Allows an OS image. Owner only.
    function addOsImageHash(bytes32 osImageHash) external;
    /// @notice Allows an OS image until a time. Owner only.
    function addOsImageHashUntil(bytes32 osImageHash, uint64 validUntil) external;
    /// @notice Forbids an OS image.
    function removeOsImageHash(bytes32 osImageHash) external;
    /// @notice Allows an aggregated measurement of a KMS (version 1). Owner only.
    function addKmsAggregatedMr(bytes32 mrAggregated) external;
    /// @notice Allows an aggregated measurement of a KMS until a time (version 1). Owner only.
    function addKmsAggregatedMrUntil(bytes32 mrAggregated, uint64 validUntil) external;
    /// @notice Forbids an aggregated measurement of a KMS (version 1).
    function removeKmsAggregatedMr(bytes32 mrAggregated) external;
    /// @notice Allows a KMS device (version 1). Owner only.
    function addKmsDevice(bytes32 deviceId) external;
    /// @notice Forbids a KMS device (version 1).
    function removeKmsDevice(bytes32 deviceId) external;

    /// @notice Sets the gateway's app id. Owner only.
    function setGatewayAppId(string calldata appId) external;
    /// @notice Sets the KMS description of version 1. Owner only.
    function setKmsInfo(KmsInfo calldata info) external;
    /// @notice Sets the quote of the KMS description. Owner only.
    function setKmsQuote(bytes calldata quote) external;
    /// @notice Sets the event log of the KMS description. Owner only.
    function setKmsEventlog(bytes calldata eventlog) external;
    /// @notice Sets the factory's implementation. Owner only.
    function setAppImplementation(address implementation) external;
    /// @notice Names the app whose instances are the network's KMS nodes. Owner only.
    function setKmsAppId(address appId) external;
    /// @notice Begins the next key epoch. Owner only.
    /// @param epoch One above the present epoch; the first is 1.
    /// @param identity The KMS's public identity in it.
    function recordKeyEpoch(uint32 epoch, KmsIdentity calldata identity) external;
    /// @notice Sets the least epoch whose keys are released; lowering it is the owner's.
    function setMinKeyEpoch(uint32 epoch) external;
    /// @notice Stops every release (owner or guardian), or resumes (owner).
    function setReleasePaused(bool paused) external;

    /// @notice Commits the calling node to its release log.
    function anchorLog(uint64 treeSize, bytes32 root) external;
    /// @notice States that the calling node gave the root of an epoch to another.
    /// @param target SHA-256 of the new node's public identity.
    function recordOnboarding(bytes32 target, uint32 epoch) external;

    /// @notice Version 1 of the KMS question: also bound to listed measurements and devices.
    function isKmsAllowed(AppBootInfo calldata bootInfo)
        external
        view
        returns (bool isAllowed, string memory reason);
    /// @notice Whether the described trust domain may hold the network's root. It may be asked about the present
    /// epochs and the next one, which a node prepares before it is recorded.
    function isKmsAllowedV2(BootRecord calldata record)
        external
        view
        returns (bool isAllowed, string memory reason);

    /// @notice Everything a node needs in every block.
    function networkState() external view returns (NetworkState memory);
    /// @notice The KMS's public identity in an epoch; empty for one not recorded.
    function kmsIdentity(uint32 epoch) external view returns (KmsIdentity memory);
    /// @notice The present key epoch, 0 before the first.
    function keyEpoch() external view returns (uint32);
    /// @notice The least epoch whose keys are released.
    function minKeyEpoch() external view returns (uint32);
    /// @notice Whether every release is stopped.
    function releasePaused() external view returns (bool);
    /// @notice The app whose instances are the network's KMS nodes.
    function kmsAppId() external view returns (address);
    /// @notice The gateway's app id.
    function gatewayAppId() external view returns (string memory);
    /// @notice The factory's implementation.
    function appImplementation() external view returns (address);
    /// @notice The KMS description of version 1.
    function kmsInfo()
        external
        view
        returns (bytes memory k256Pubkey, bytes memory caPubkey, bytes memory quote, bytes memory eventlog);
    /// @notice Whether an app is registered.
    function registeredApps(address appId) external view returns (bool);
    /// @notice Whether an OS image is allowed now.
    function allowedOsImages(bytes32 osImageHash) external view returns (bool);
    /// @notice An OS image's grant; `validUntil` 0 has no end.
    function osImageGrant(bytes32 osImageHash) external view returns (bool given, uint64 validUntil);
    /// @notice Whether an aggregated measurement of a KMS is allowed now (version 1).
    function kmsAllowedAggregatedMrs(bytes32 mrAggregated) external view returns (bool);
    /// @notice Whether a KMS device is allowed (version 1).
    function kmsAllowedDeviceIds(bytes32 deviceId) external view returns (bool);
    /// @notice The log a node last committed to.
    function anchoredLog(address node) external view returns (uint64 treeSize, bytes32 root);
}
