// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {
    ERC165Upgradeable
} from "@openzeppelin/contracts-upgradeable/utils/introspection/ERC165Upgradeable.sol";
import {AppBootInfo, BootRecord, TcbStatus} from "./BootRecord.sol";
import {Denial} from "./Denial.sol";
import {Governed} from "./Governed.sol";
import {AllowList, AllowLists, Grant, Grants} from "./Grants.sol";
import {TcbStatuses} from "./TcbStatuses.sol";
import {IAppAuth} from "./interfaces/IAppAuth.sol";
import {IAppAuthBasicManagement} from "./interfaces/IAppAuthBasicManagement.sol";
import {IAppAuthV2} from "./interfaces/IAppAuthV2.sol";
import {IAppAuthority} from "./interfaces/IAppAuthority.sol";

/// @title One app's authority; its address is the app id
/// @notice May be stricter than the network, never laxer: the network's rules are asked first and in any case.
contract AppAuthority is Governed, IAppAuth, IAppAuthV2, IAppAuthBasicManagement, IAppAuthority {
    using AllowLists for AllowList;
    using Grants for Grant;

    uint64 private constant MAX_NOTICE_PERIOD = 365 days;

    // Tools for older apps ask for the read and write surface under this id as well.
    bytes4 private constant EXTENDED_MANAGEMENT_ID = type(IAppAuthBasicManagement).interfaceId
        ^ IAppAuthority.setAllowAnyDevice.selector ^ IAppAuthority.setRequireTcbUpToDate.selector
        ^ IAppAuthority.allowedComposeHashes.selector ^ IAppAuthority.allowedDeviceIds.selector
        ^ IAppAuthority.allowAnyDevice.selector ^ IAppAuthority.requireTcbUpToDate.selector
        ^ bytes4(keccak256("owner()")) ^ IAppAuthority.version.selector;

    mapping(bytes32 composeHash => Grant) private _composeHashes;
    mapping(bytes32 deviceId => bool) private _devices;
    AllowList private _osImages;
    bool private _allowAnyDevice;
    bool private _requireTcbUpToDate;
    uint64 private _noticePeriod;
    uint64 private _pendingPeriod;
    uint64 private _pendingPeriodAt;
    address private _announcedUpgrade;
    uint64 private _announcedAt;
    uint256[42] private __gapAppAuthority;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @inheritdoc IAppAuthority
    function initialize(
        address initialOwner,
        bool disableUpgrades_,
        bool allowAnyDevice_,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) external initializer {
        _initialize(initialOwner, disableUpgrades_, allowAnyDevice_, initialDeviceId, initialComposeHash);
    }

    /// @inheritdoc IAppAuthority
    function initialize(
        address initialOwner,
        bool disableUpgrades_,
        bool requireTcbUpToDate_,
        bool allowAnyDevice_,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) external initializer {
        _initialize(initialOwner, disableUpgrades_, allowAnyDevice_, initialDeviceId, initialComposeHash);
        _requireTcbUpToDate = requireTcbUpToDate_;
        if (requireTcbUpToDate_) emit RequireTcbUpToDateSet(true);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function addComposeHash(bytes32 composeHash) external onlyOwner {
        _addComposeHash(composeHash, 0);
    }

    /// @inheritdoc IAppAuthority
    function addComposeHashUntil(bytes32 composeHash, uint64 validUntil) external onlyOwner {
        _requireFuture(validUntil);
        _addComposeHash(composeHash, validUntil);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function removeComposeHash(bytes32 composeHash) external onlyRestrictor {
        delete _composeHashes[composeHash];
        emit ComposeHashRemoved(composeHash);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function addDevice(bytes32 deviceId) external onlyOwner {
        _addDevice(deviceId);
    }

    /// @inheritdoc IAppAuthBasicManagement
    function removeDevice(bytes32 deviceId) external onlyRestrictor {
        _devices[deviceId] = false;
        emit DeviceRemoved(deviceId);
    }

    /// @inheritdoc IAppAuthority
    function setAllowAnyDevice(bool allowAny) external {
        _checkDirection(allowAny);
        _allowAnyDevice = allowAny;
        emit AllowAnyDeviceSet(allowAny);
    }

    /// @inheritdoc IAppAuthority
    function setRequireTcbUpToDate(bool requireUpToDate) external {
        _checkDirection(!requireUpToDate);
        _requireTcbUpToDate = requireUpToDate;
        emit RequireTcbUpToDateSet(requireUpToDate);
    }

    /// @inheritdoc IAppAuthority
    function addOsImageHash(bytes32 osImageHash) external onlyOwner {
        _requireSet(osImageHash);
        _osImages.add(osImageHash);
        emit OsImageHashAdded(osImageHash);
    }

    /// @inheritdoc IAppAuthority
    function removeOsImageHash(bytes32 osImageHash) external onlyRestrictor {
        _osImages.remove(osImageHash);
        emit OsImageHashRemoved(osImageHash);
    }

    /// @inheritdoc IAppAuthority
    function liftOsImageRestriction() external onlyOwner {
        _osImages.restricted = false;
        emit OsImageRestrictionLifted();
    }

    /// @inheritdoc IAppAuthority
    function setNoticePeriod(uint64 period) external onlyOwner {
        if (period > MAX_NOTICE_PERIOD) revert NoticePeriodTooLong(period, MAX_NOTICE_PERIOD);
        uint64 present = noticePeriod();
        uint64 effectiveAt = uint64(block.timestamp);
        if (period >= present) {
            _noticePeriod = period;
            _pendingPeriod = 0;
            _pendingPeriodAt = 0;
        } else {
            effectiveAt += present;
            _noticePeriod = present;
            _pendingPeriod = period;
            _pendingPeriodAt = effectiveAt;
        }
        emit NoticePeriodSet(period, effectiveAt);
    }

    /// @inheritdoc IAppAuthority
    function announceUpgrade(address implementation) external onlyOwner {
        _announcedUpgrade = implementation;
        _announcedAt = uint64(block.timestamp);
        emit UpgradeAnnounced(implementation, uint64(block.timestamp) + noticePeriod());
    }

    /// @inheritdoc IAppAuth
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        return _decide(bootInfo);
    }

    /// @inheritdoc IAppAuthV2
    function isAppAllowedV2(BootRecord calldata record) external view returns (bool, string memory) {
        return _decide(record.info);
    }

    /// @inheritdoc IAppAuthority
    function allowedComposeHashes(bytes32 composeHash) external view returns (bool) {
        return _composeHashes[composeHash].active();
    }

    /// @inheritdoc IAppAuthority
    function composeHashGrant(bytes32 composeHash) external view returns (bool, uint64, uint64) {
        Grant storage grant = _composeHashes[composeHash];
        return (grant.given, grant.notBefore, grant.validUntil);
    }

    /// @inheritdoc IAppAuthority
    function allowedDeviceIds(bytes32 deviceId) external view returns (bool) {
        return _devices[deviceId];
    }

    /// @inheritdoc IAppAuthority
    function allowAnyDevice() external view returns (bool) {
        return _allowAnyDevice;
    }

    /// @inheritdoc IAppAuthority
    function requireTcbUpToDate() external view returns (bool) {
        return _requireTcbUpToDate;
    }

    /// @inheritdoc IAppAuthority
    function allowedOsImages(bytes32 osImageHash) external view returns (bool) {
        return _osImages.permits(osImageHash);
    }

    /// @inheritdoc IAppAuthority
    function osImagesRestricted() external view returns (bool) {
        return _osImages.restricted;
    }

    /// @inheritdoc IAppAuthority
    function noticePeriod() public view returns (uint64) {
        bool shortened = _pendingPeriodAt != 0 && block.timestamp >= _pendingPeriodAt;
        return shortened ? _pendingPeriod : _noticePeriod;
    }

    /// @inheritdoc IAppAuthority
    function pendingNoticePeriod() external view returns (uint64, uint64) {
        if (_pendingPeriodAt == 0 || block.timestamp >= _pendingPeriodAt) return (0, 0);
        return (_pendingPeriod, _pendingPeriodAt);
    }

    /// @inheritdoc IAppAuthority
    function announcedUpgrade() external view returns (address, uint64) {
        if (_announcedUpgrade == address(0)) return (address(0), 0);
        return (_announcedUpgrade, _announcedAt + noticePeriod());
    }

    /// @inheritdoc IAppAuthority
    function version() external pure returns (uint256) {
        return 3;
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(ERC165Upgradeable, IERC165)
        returns (bool)
    {
        return interfaceId == type(IAppAuth).interfaceId || interfaceId == type(IAppAuthV2).interfaceId
            || interfaceId == type(IAppAuthBasicManagement).interfaceId
            || interfaceId == EXTENDED_MANAGEMENT_ID || super.supportsInterface(interfaceId);
    }

    function _initialize(
        address initialOwner,
        bool disableUpgrades_,
        bool allowAnyDevice_,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) private onlyInitializing {
        __Ownable_init(initialOwner);
        if (disableUpgrades_) _disableUpgrades();
        _allowAnyDevice = allowAnyDevice_;
        if (initialDeviceId != bytes32(0)) _addDevice(initialDeviceId);
        if (initialComposeHash != bytes32(0)) _addComposeHash(initialComposeHash, 0);
    }

    function _addDevice(bytes32 deviceId) private {
        _requireSet(deviceId);
        _devices[deviceId] = true;
        emit DeviceAdded(deviceId);
    }

    function _addComposeHash(bytes32 composeHash, uint64 validUntil) private {
        _requireSet(composeHash);
        Grant storage grant = _composeHashes[composeHash];
        uint64 notBefore = uint64(block.timestamp) + noticePeriod();
        // A grant that lasts beyond its notice is only prolonged, and users had the notice. Any other begins anew:
        // prolonging at the last second would deny them it.
        if (grant.given && (grant.validUntil == 0 || grant.validUntil > notBefore)) {
            notBefore = grant.notBefore;
        }
        _composeHashes[composeHash] = Grant({given: true, notBefore: notBefore, validUntil: validUntil});
        emit ComposeHashAdded(composeHash);
        emit ComposeHashAnnounced(composeHash, notBefore, validUntil);
    }

    // S2: new code could drop every promise made here, so it waits as long as a new compose hash.
    function _authorizeUpgrade(address implementation) internal override {
        super._authorizeUpgrade(implementation);
        uint64 period = noticePeriod();
        if (period != 0) {
            if (implementation != _announcedUpgrade) revert UpgradeNotAnnounced(implementation);
            uint64 notBefore = _announcedAt + period;
            if (block.timestamp < notBefore) revert UpgradeNoticeRunning(implementation, notBefore);
        }
        delete _announcedUpgrade;
        delete _announcedAt;
    }

    function _decide(AppBootInfo calldata info) private view returns (bool, string memory) {
        if (info.appId != address(this)) {
            return Denial.mismatch("app_id_mismatch", info.appId, address(this));
        }
        Grant storage grant = _composeHashes[info.composeHash];
        Grants.State state = grant.state();
        if (state == Grants.State.Missing) return Denial.hash("compose_hash_not_allowed", info.composeHash);
        if (state == Grants.State.Expired) {
            return Denial.expired("compose_hash", info.composeHash, grant.validUntil);
        }
        if (state == Grants.State.Pending) {
            return Denial.number("compose_hash_notice_until", grant.notBefore);
        }
        if (!_allowAnyDevice && !_devices[info.deviceId]) {
            return Denial.hash("device_not_allowed", info.deviceId);
        }
        if (!_osImages.permits(info.osImageHash)) {
            return Denial.hash("os_image_not_allowed", info.osImageHash);
        }
        if (_requireTcbUpToDate) {
            (bool known, TcbStatus status) = TcbStatuses.parse(info.tcbStatus);
            if (!known || status != TcbStatus.UpToDate) {
                return Denial.text("tcb_status_not_allowed", info.tcbStatus);
            }
        }
        return (true, "");
    }
}
