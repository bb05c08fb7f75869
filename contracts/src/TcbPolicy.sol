// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AppBootInfo, BootRecord, PolicyList, TcbPolicySummary, TcbStatus} from "./BootRecord.sol";
import {Denial} from "./Denial.sol";
import {Governed} from "./Governed.sol";
import {AllowList, AllowLists} from "./Grants.sol";
import {TcbStatuses} from "./TcbStatuses.sol";
import {ITcbPolicy} from "./interfaces/ITcbPolicy.sol";

/// @title The platform policy of a network, and its evaluation
abstract contract TcbPolicy is Governed, ITcbPolicy {
    using AllowLists for AllowList;

    uint32 private constant TEE_TYPE_TDX = 0x81;
    uint256 private constant MR_SEAM_LENGTH = 48;

    // One bit for each TcbStatus.
    uint16 private _allowedStatuses;
    uint16 private _gracePeriodDays;
    uint32 private _minTcbEvaluationDataNumber;
    uint8 private _minTdxModuleSvn;
    bytes32[] private _roots;
    mapping(bytes32 advisoryHash => bool) private _denied;
    mapping(bytes32 advisoryHash => bool) private _accepted;
    AllowList private _mrSeams;
    AllowList private _fmspcs;
    AllowList private _platforms;
    uint256[40] private __gapTcbPolicy;

    /// @inheritdoc ITcbPolicy
    function addAttestationRoot(bytes32 root) external onlyOwner {
        _requireSet(root);
        if (_rootIndex(root) == _roots.length) _roots.push(root);
        emit AttestationRootAdded(root);
    }

    /// @inheritdoc ITcbPolicy
    function removeAttestationRoot(bytes32 root) external onlyRestrictor {
        uint256 index = _rootIndex(root);
        if (index < _roots.length) {
            _roots[index] = _roots[_roots.length - 1];
            _roots.pop();
        }
        emit AttestationRootRemoved(root);
    }

    /// @inheritdoc ITcbPolicy
    function allowTcbStatus(TcbStatus status) external onlyOwner {
        _allowStatus(status);
    }

    /// @inheritdoc ITcbPolicy
    function disallowTcbStatus(TcbStatus status) external onlyRestrictor {
        _allowedStatuses &= ~TcbStatuses.bit(status);
        emit TcbStatusDisallowed(status);
    }

    /// @inheritdoc ITcbPolicy
    function setAdvisoryDenied(string calldata advisoryId, bool denied) external {
        _checkDirection(!denied);
        _denied[keccak256(bytes(advisoryId))] = denied;
        emit AdvisoryDenied(advisoryId, denied);
    }

    /// @inheritdoc ITcbPolicy
    function setAdvisoryAccepted(string calldata advisoryId, bool accepted) external {
        _checkDirection(accepted);
        _accepted[keccak256(bytes(advisoryId))] = accepted;
        emit AdvisoryAccepted(advisoryId, accepted);
    }

    /// @inheritdoc ITcbPolicy
    function setMinTcbEvaluationDataNumber(uint32 number) external {
        _checkDirection(number < _minTcbEvaluationDataNumber);
        _minTcbEvaluationDataNumber = number;
        emit MinTcbEvaluationDataNumberSet(number);
    }

    /// @inheritdoc ITcbPolicy
    function setMinTdxModuleSvn(uint8 svn) external {
        _checkDirection(svn < _minTdxModuleSvn);
        _minTdxModuleSvn = svn;
        emit MinTdxModuleSvnSet(svn);
    }

    /// @inheritdoc ITcbPolicy
    function setGracePeriodDays(uint16 numberOfDays) external {
        _checkDirection(numberOfDays > _gracePeriodDays);
        _gracePeriodDays = numberOfDays;
        emit GracePeriodDaysSet(numberOfDays);
    }

    /// @inheritdoc ITcbPolicy
    function addMrSeam(bytes calldata mrSeam) external onlyOwner {
        if (mrSeam.length != MR_SEAM_LENGTH) revert WrongLength(mrSeam.length, MR_SEAM_LENGTH);
        _mrSeams.add(keccak256(mrSeam));
        emit MrSeamAdded(mrSeam);
    }

    /// @inheritdoc ITcbPolicy
    function removeMrSeam(bytes calldata mrSeam) external onlyRestrictor {
        _mrSeams.remove(keccak256(mrSeam));
        emit MrSeamRemoved(mrSeam);
    }

    /// @inheritdoc ITcbPolicy
    function addFmspc(bytes6 fmspc) external onlyOwner {
        _fmspcs.add(fmspc);
        emit FmspcAdded(fmspc);
    }

    /// @inheritdoc ITcbPolicy
    function removeFmspc(bytes6 fmspc) external onlyRestrictor {
        _fmspcs.remove(fmspc);
        emit FmspcRemoved(fmspc);
    }

    /// @inheritdoc ITcbPolicy
    function addPlatform(bytes32 deviceId) external onlyOwner {
        _requireSet(deviceId);
        _platforms.add(deviceId);
        emit PlatformAdded(deviceId);
    }

    /// @inheritdoc ITcbPolicy
    function removePlatform(bytes32 deviceId) external onlyRestrictor {
        _platforms.remove(deviceId);
        emit PlatformRemoved(deviceId);
    }

    /// @inheritdoc ITcbPolicy
    function liftRestriction(PolicyList list) external onlyOwner {
        if (list == PolicyList.MrSeam) _mrSeams.restricted = false;
        else if (list == PolicyList.Fmspc) _fmspcs.restricted = false;
        else _platforms.restricted = false;
        emit RestrictionLifted(list);
    }

    /// @inheritdoc ITcbPolicy
    function attestationRoots() public view returns (bytes32[] memory) {
        return _roots;
    }

    /// @inheritdoc ITcbPolicy
    function tcbPolicy() external view returns (TcbPolicySummary memory) {
        return TcbPolicySummary({
            allowedStatuses: _allowedStatuses,
            minTcbEvaluationDataNumber: _minTcbEvaluationDataNumber,
            minTdxModuleSvn: _minTdxModuleSvn,
            gracePeriodDays: _gracePeriodDays,
            mrSeamsRestricted: _mrSeams.restricted,
            fmspcsRestricted: _fmspcs.restricted,
            platformsRestricted: _platforms.restricted
        });
    }

    /// @inheritdoc ITcbPolicy
    function deniedAdvisories(string calldata advisoryId) external view returns (bool) {
        return _denied[keccak256(bytes(advisoryId))];
    }

    /// @inheritdoc ITcbPolicy
    function acceptedAdvisories(string calldata advisoryId) external view returns (bool) {
        return _accepted[keccak256(bytes(advisoryId))];
    }

    /// @inheritdoc ITcbPolicy
    function allowedMrSeams(bytes calldata mrSeam) external view returns (bool) {
        return _mrSeams.permits(keccak256(mrSeam));
    }

    /// @inheritdoc ITcbPolicy
    function allowedFmspcs(bytes6 fmspc) external view returns (bool) {
        return _fmspcs.permits(fmspc);
    }

    /// @inheritdoc ITcbPolicy
    function allowedPlatforms(bytes32 deviceId) external view returns (bool) {
        return _platforms.permits(deviceId);
    }

    function _allowStatus(TcbStatus status) internal {
        // Intel withdrew such a platform's certificate: no policy can make its quotes mean anything.
        if (status == TcbStatus.Revoked) revert TcbStatusNeverAllowed(status);
        _allowedStatuses |= TcbStatuses.bit(status);
        emit TcbStatusAllowed(status);
    }

    /// @dev The root's place, or the number of roots where it is not among them. Networks have one or two.
    function _rootIndex(bytes32 root) private view returns (uint256 index) {
        while (index < _roots.length && _roots[index] != root) ++index;
    }

    function _minEvaluation() internal view returns (uint32) {
        return _minTcbEvaluationDataNumber;
    }

    /// @dev The rules about facts that both versions carry.
    /// @param tcbDate Date of the matched level, 0 where the caller cannot know it.
    function _checkPlatform(AppBootInfo calldata info, uint64 tcbDate)
        internal
        view
        returns (bool, string memory)
    {
        if (_roots.length == 0) return (false, "attestation_root_not_allowed");
        (bool known, TcbStatus status) = TcbStatuses.parse(info.tcbStatus);
        if (!known || _allowedStatuses & TcbStatuses.bit(status) == 0) {
            return Denial.text("tcb_status_not_allowed", info.tcbStatus);
        }
        if (TcbStatuses.outOfDate(status)) {
            uint256 end = uint256(tcbDate) + uint256(_gracePeriodDays) * 1 days;
            if (block.timestamp >= end) return Denial.number("tcb_grace_period_over", end);
        }
        for (uint256 i = 0; i < info.advisoryIds.length; ++i) {
            bytes32 id = keccak256(bytes(info.advisoryIds[i]));
            if (_denied[id]) return Denial.text("advisory_denied", info.advisoryIds[i]);
            if (status != TcbStatus.UpToDate && !_accepted[id]) {
                return Denial.text("advisory_not_accepted", info.advisoryIds[i]);
            }
        }
        if (!_platforms.permits(info.deviceId)) {
            return Denial.hash("device_not_allowed", info.deviceId);
        }
        return (true, "");
    }

    /// @dev The rules about facts that only the extended record carries.
    function _checkExtended(BootRecord calldata record) internal view returns (bool, string memory) {
        if (record.mrSeam.length != MR_SEAM_LENGTH) {
            return Denial.number("malformed_record: mrSeam length", record.mrSeam.length);
        }
        if (record.teeType != TEE_TYPE_TDX) return Denial.number("tee_type_not_allowed", record.teeType);
        if (_rootIndex(record.attestationRoot) == _roots.length) {
            return Denial.hash("attestation_root_not_allowed", record.attestationRoot);
        }
        if (record.tcbEvaluationDataNumber < _minTcbEvaluationDataNumber) {
            return Denial.below(
                "tcb_evaluation_too_old", record.tcbEvaluationDataNumber, _minTcbEvaluationDataNumber
            );
        }
        if (record.tdxModuleSvn < _minTdxModuleSvn) {
            return Denial.below("tdx_module_svn_too_low", record.tdxModuleSvn, _minTdxModuleSvn);
        }
        if (!_mrSeams.permits(keccak256(record.mrSeam))) {
            return Denial.data("mr_seam_not_allowed", record.mrSeam);
        }
        if (!_fmspcs.permits(record.fmspc)) {
            return Denial.data("fmspc_not_allowed", abi.encodePacked(record.fmspc));
        }
        return (true, "");
    }
}
