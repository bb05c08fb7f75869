// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {
    ERC165Upgradeable
} from "@openzeppelin/contracts-upgradeable/utils/introspection/ERC165Upgradeable.sol";
import {AuthorityCall} from "./AuthorityCall.sol";
import {AppBootInfo, BootRecord, KmsIdentity, NetworkState, TcbStatus} from "./BootRecord.sol";
import {Denial} from "./Denial.sol";
import {Grant, Grants} from "./Grants.sol";
import {TcbPolicy} from "./TcbPolicy.sol";
import {TcbStatuses} from "./TcbStatuses.sol";
import {IAppAuth} from "./interfaces/IAppAuth.sol";
import {IAppAuthV2} from "./interfaces/IAppAuthV2.sol";
import {IKmsAuthority} from "./interfaces/IKmsAuthority.sol";

/// @title The authority of one network
contract KmsAuthority is TcbPolicy, IAppAuth, IAppAuthV2, IKmsAuthority {
    using Grants for Grant;

    enum Registration {
        None,
        Registered,
        Unregistered
    }

    struct Anchor {
        uint64 treeSize;
        bytes32 root;
    }

    uint256 private constant K256_PUBKEY_LENGTH = 33;

    KmsInfo private _kmsInfo;
    string private _gatewayAppId;
    mapping(address appId => Registration) private _apps;
    mapping(bytes32 mrAggregated => Grant) private _kmsAggregatedMrs;
    mapping(bytes32 deviceId => bool) private _kmsDevices;
    mapping(bytes32 osImageHash => Grant) private _osImages;
    address private _appImplementation;
    address private _kmsAppId;
    uint32 private _keyEpoch;
    uint32 private _minKeyEpoch;
    bool private _releasePaused;
    mapping(uint32 epoch => KmsIdentity) private _identities;
    mapping(address node => Anchor) private _anchors;
    uint256[37] private __gapKmsAuthority;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @inheritdoc IKmsAuthority
    function initialize(address initialOwner, address appImplementation_) external initializer {
        __Ownable_init(initialOwner);
        _minKeyEpoch = 1;
        _allowStatus(TcbStatus.UpToDate);
        if (appImplementation_ != address(0)) _setAppImplementation(appImplementation_);
    }

    /// @inheritdoc IKmsAuthority
    function registerApp(address appId) external {
        // Open registration would undo the guardian's removal in the next transaction.
        if (_apps[appId] == Registration.Unregistered && msg.sender != owner()) {
            revert AppWasUnregistered(appId);
        }
        _register(appId);
    }

    /// @inheritdoc IKmsAuthority
    function unregisterApp(address appId) external onlyRestrictor {
        _apps[appId] = Registration.Unregistered;
        emit AppUnregistered(appId);
    }

    /// @inheritdoc IKmsAuthority
    function deployAndRegisterApp(address, bool, bool, bytes32, bytes32) external returns (address) {
        return _deploy("initialize(address,bool,bool,bytes32,bytes32)");
    }

    /// @inheritdoc IKmsAuthority
    function deployAndRegisterApp(address, bool, bool, bool, bytes32, bytes32) external returns (address) {
        return _deploy("initialize(address,bool,bool,bool,bytes32,bytes32)");
    }

    /// @inheritdoc IKmsAuthority
    function addOsImageHash(bytes32 osImageHash) external onlyOwner {
        _addOsImage(osImageHash, 0);
    }

    /// @inheritdoc IKmsAuthority
    function addOsImageHashUntil(bytes32 osImageHash, uint64 validUntil) external onlyOwner {
        _requireFuture(validUntil);
        _addOsImage(osImageHash, validUntil);
    }

    /// @inheritdoc IKmsAuthority
    function removeOsImageHash(bytes32 osImageHash) external onlyRestrictor {
        delete _osImages[osImageHash];
        emit OsImageHashRemoved(osImageHash);
    }

    /// @inheritdoc IKmsAuthority
    function addKmsAggregatedMr(bytes32 mrAggregated) external onlyOwner {
        _addKmsAggregatedMr(mrAggregated, 0);
    }

    /// @inheritdoc IKmsAuthority
    function addKmsAggregatedMrUntil(bytes32 mrAggregated, uint64 validUntil) external onlyOwner {
        _requireFuture(validUntil);
        _addKmsAggregatedMr(mrAggregated, validUntil);
    }

    /// @inheritdoc IKmsAuthority
    function removeKmsAggregatedMr(bytes32 mrAggregated) external onlyRestrictor {
        delete _kmsAggregatedMrs[mrAggregated];
        emit KmsAggregatedMrRemoved(mrAggregated);
    }

    /// @inheritdoc IKmsAuthority
    function addKmsDevice(bytes32 deviceId) external onlyOwner {
        _requireSet(deviceId);
        _kmsDevices[deviceId] = true;
        emit KmsDeviceAdded(deviceId);
    }

    /// @inheritdoc IKmsAuthority
    function removeKmsDevice(bytes32 deviceId) external onlyRestrictor {
        _kmsDevices[deviceId] = false;
        emit KmsDeviceRemoved(deviceId);
    }

    /// @inheritdoc IKmsAuthority
    function setGatewayAppId(string calldata appId) external onlyOwner {
        _gatewayAppId = appId;
        emit GatewayAppIdSet(appId);
    }

    /// @inheritdoc IKmsAuthority
    function setKmsInfo(KmsInfo calldata info) external onlyOwner {
        _kmsInfo = info;
        emit KmsInfoSet(info.k256Pubkey);
    }

    /// @inheritdoc IKmsAuthority
    function setKmsQuote(bytes calldata quote) external onlyOwner {
        _kmsInfo.quote = quote;
    }

    /// @inheritdoc IKmsAuthority
    function setKmsEventlog(bytes calldata eventlog) external onlyOwner {
        _kmsInfo.eventlog = eventlog;
    }

    /// @inheritdoc IKmsAuthority
    function setAppImplementation(address implementation) external onlyOwner {
        _setAppImplementation(implementation);
    }

    /// @inheritdoc IKmsAuthority
    function setKmsAppId(address appId) external onlyOwner {
        _kmsAppId = appId;
        emit KmsAppIdSet(appId);
    }

    /// @inheritdoc IKmsAuthority
    function recordKeyEpoch(uint32 epoch, KmsIdentity calldata identity) external onlyOwner {
        if (epoch != _keyEpoch + 1) revert UnexpectedKeyEpoch(epoch, _keyEpoch + 1);
        if (identity.k256Pubkey.length != K256_PUBKEY_LENGTH) {
            revert WrongKeyLength(identity.k256Pubkey.length, K256_PUBKEY_LENGTH);
        }
        _requireSet(identity.caSpkiHash);
        _requireSet(identity.hpkeKey);
        _keyEpoch = epoch;
        _identities[epoch] = identity;
        emit KeyEpochRecorded(epoch, identity.k256Pubkey, identity.caSpkiHash, identity.hpkeKey);
    }

    /// @inheritdoc IKmsAuthority
    function setMinKeyEpoch(uint32 epoch) external {
        _checkDirection(epoch < _minKeyEpoch);
        if (epoch == 0 || epoch > _keyEpoch) revert MinKeyEpochOutOfRange(epoch, _keyEpoch);
        _minKeyEpoch = epoch;
        emit MinKeyEpochSet(epoch);
    }

    /// @inheritdoc IKmsAuthority
    function setReleasePaused(bool paused) external {
        _checkDirection(!paused);
        _releasePaused = paused;
        emit ReleasePausedSet(paused);
    }

    /// @inheritdoc IKmsAuthority
    function anchorLog(uint64 treeSize, bytes32 root) external {
        Anchor storage anchor = _anchors[msg.sender];
        if (treeSize <= anchor.treeSize) revert LogDidNotGrow(treeSize, anchor.treeSize);
        _requireSet(root);
        anchor.treeSize = treeSize;
        anchor.root = root;
        emit LogAnchored(treeSize, root, msg.sender);
    }

    /// @inheritdoc IKmsAuthority
    function recordOnboarding(bytes32 target, uint32 epoch) external {
        _requireSet(target);
        emit NodeOnboarded(msg.sender, target, epoch);
    }

    /// @inheritdoc IAppAuth
    function isAppAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        (bool ok, string memory reason) = _checkRelease(bootInfo);
        if (!ok) return (ok, reason);
        (ok, reason) = _checkPlatform(bootInfo, 0);
        if (!ok) return (ok, reason);
        return AuthorityCall.ask(bootInfo);
    }

    /// @inheritdoc IAppAuthV2
    function isAppAllowedV2(BootRecord calldata record) external view returns (bool, string memory) {
        return _decide(record, _keyEpoch);
    }

    /// @inheritdoc IKmsAuthority
    function isKmsAllowed(AppBootInfo calldata bootInfo) external view returns (bool, string memory) {
        if (_releasePaused) return (false, "releases_paused");
        (bool ok, string memory reason) = _checkPlatform(bootInfo, 0);
        if (!ok) return (ok, reason);
        (, TcbStatus status) = TcbStatuses.parse(bootInfo.tcbStatus);
        if (status != TcbStatus.UpToDate) return Denial.text("tcb_status_not_allowed", bootInfo.tcbStatus);
        (ok, reason) = _checkGrant("os_image", _osImages[bootInfo.osImageHash], bootInfo.osImageHash);
        if (!ok) return (ok, reason);
        (ok, reason) =
            _checkGrant("mr_aggregated", _kmsAggregatedMrs[bootInfo.mrAggregated], bootInfo.mrAggregated);
        if (!ok) return (ok, reason);
        if (!_kmsDevices[bootInfo.deviceId]) return Denial.hash("device_not_allowed", bootInfo.deviceId);
        return (true, "");
    }

    /// @inheritdoc IKmsAuthority
    function isKmsAllowedV2(BootRecord calldata record) external view returns (bool, string memory) {
        if (_kmsAppId == address(0)) return (false, "kms_app_not_set");
        if (record.info.appId != _kmsAppId) {
            return Denial.mismatch("kms_app_mismatch", record.info.appId, _kmsAppId);
        }
        return _decide(record, _keyEpoch + 1);
    }

    /// @inheritdoc IKmsAuthority
    function networkState() external view returns (NetworkState memory) {
        return NetworkState({
            attestationRoots: attestationRoots(),
            keyEpoch: _keyEpoch,
            minKeyEpoch: _minKeyEpoch,
            releasePaused: _releasePaused,
            kmsAppId: _kmsAppId,
            gatewayAppId: _gatewayAppId,
            minTcbEvaluationDataNumber: _minEvaluation(),
            identity: _identities[_keyEpoch]
        });
    }

    /// @inheritdoc IKmsAuthority
    function kmsIdentity(uint32 epoch) external view returns (KmsIdentity memory) {
        return _identities[epoch];
    }

    /// @inheritdoc IKmsAuthority
    function keyEpoch() external view returns (uint32) {
        return _keyEpoch;
    }

    /// @inheritdoc IKmsAuthority
    function minKeyEpoch() external view returns (uint32) {
        return _minKeyEpoch;
    }

    /// @inheritdoc IKmsAuthority
    function releasePaused() external view returns (bool) {
        return _releasePaused;
    }

    /// @inheritdoc IKmsAuthority
    function kmsAppId() external view returns (address) {
        return _kmsAppId;
    }

    /// @inheritdoc IKmsAuthority
    function gatewayAppId() external view returns (string memory) {
        return _gatewayAppId;
    }

    /// @inheritdoc IKmsAuthority
    function appImplementation() external view returns (address) {
        return _appImplementation;
    }

    /// @inheritdoc IKmsAuthority
    function kmsInfo() external view returns (bytes memory, bytes memory, bytes memory, bytes memory) {
        return (_kmsInfo.k256Pubkey, _kmsInfo.caPubkey, _kmsInfo.quote, _kmsInfo.eventlog);
    }

    /// @inheritdoc IKmsAuthority
    function registeredApps(address appId) external view returns (bool) {
        return _apps[appId] == Registration.Registered;
    }

    /// @inheritdoc IKmsAuthority
    function allowedOsImages(bytes32 osImageHash) external view returns (bool) {
        return _osImages[osImageHash].active();
    }

    /// @inheritdoc IKmsAuthority
    function osImageGrant(bytes32 osImageHash) external view returns (bool, uint64) {
        Grant storage grant = _osImages[osImageHash];
        return (grant.given, grant.validUntil);
    }

    /// @inheritdoc IKmsAuthority
    function kmsAllowedAggregatedMrs(bytes32 mrAggregated) external view returns (bool) {
        return _kmsAggregatedMrs[mrAggregated].active();
    }

    /// @inheritdoc IKmsAuthority
    function kmsAllowedDeviceIds(bytes32 deviceId) external view returns (bool) {
        return _kmsDevices[deviceId];
    }

    /// @inheritdoc IKmsAuthority
    function anchoredLog(address node) external view returns (uint64, bytes32) {
        Anchor storage anchor = _anchors[node];
        return (anchor.treeSize, anchor.root);
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(ERC165Upgradeable, IERC165)
        returns (bool)
    {
        return interfaceId == type(IAppAuth).interfaceId || interfaceId == type(IAppAuthV2).interfaceId
            || super.supportsInterface(interfaceId);
    }

    function _register(address appId) private {
        if (appId == address(0)) revert ZeroValue();
        _apps[appId] = Registration.Registered;
        emit AppRegistered(appId);
    }

    /// @dev The initializer takes the very arguments of the present call.
    function _deploy(string memory initializer_) private returns (address appId) {
        if (_appImplementation == address(0)) revert AppImplementationNotSet();
        bytes memory call = bytes.concat(bytes4(keccak256(bytes(initializer_))), msg.data[4:]);
        appId = address(new ERC1967Proxy(_appImplementation, call));
        _register(appId);
        emit AppDeployedViaFactory(appId, msg.sender);
    }

    function _setAppImplementation(address implementation) private {
        if (implementation.code.length == 0) revert NotAContract(implementation);
        _appImplementation = implementation;
        emit AppImplementationSet(implementation);
    }

    function _addOsImage(bytes32 osImageHash, uint64 validUntil) private {
        _grant(_osImages[osImageHash], osImageHash, validUntil);
        emit OsImageHashAdded(osImageHash);
    }

    function _addKmsAggregatedMr(bytes32 mrAggregated, uint64 validUntil) private {
        _grant(_kmsAggregatedMrs[mrAggregated], mrAggregated, validUntil);
        emit KmsAggregatedMrAdded(mrAggregated);
    }

    function _grant(Grant storage grant, bytes32 measurement, uint64 validUntil) private {
        _requireSet(measurement);
        grant.given = true;
        grant.validUntil = validUntil;
        if (validUntil != 0) emit MeasurementExpires(measurement, validUntil);
    }

    /// @dev S5: every clause of the network is asked before the app's authority, whose answer can only narrow.
    function _decide(BootRecord calldata record, uint32 newestEpoch)
        private
        view
        returns (bool ok, string memory reason)
    {
        (ok, reason) = _checkRelease(record.info);
        if (!ok) return (ok, reason);
        (ok, reason) = _checkExtended(record);
        if (!ok) return (ok, reason);
        (ok, reason) = _checkPlatform(record.info, record.tcbDate);
        if (!ok) return (ok, reason);
        if (record.keyEpoch < _minKeyEpoch) {
            return Denial.below("key_epoch_too_low", record.keyEpoch, _minKeyEpoch);
        }
        if (record.keyEpoch > newestEpoch) {
            return Denial.above("key_epoch_unknown", record.keyEpoch, newestEpoch);
        }
        return AuthorityCall.ask(record);
    }

    function _checkRelease(AppBootInfo calldata info) private view returns (bool, string memory) {
        if (_releasePaused) return (false, "releases_paused");
        if (_apps[info.appId] != Registration.Registered) {
            return Denial.account("app_not_registered", info.appId);
        }
        if (info.appId.code.length == 0) return Denial.account("app_not_deployed", info.appId);
        return _checkGrant("os_image", _osImages[info.osImageHash], info.osImageHash);
    }

    function _checkGrant(string memory what, Grant storage grant, bytes32 measurement)
        private
        view
        returns (bool, string memory)
    {
        Grants.State state = grant.state();
        if (state == Grants.State.Active) return (true, "");
        if (state == Grants.State.Expired) return Denial.expired(what, measurement, grant.validUntil);
        return Denial.hash(string.concat(what, "_not_allowed"), measurement);
    }
}
