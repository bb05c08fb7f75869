// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AppBootInfo, BootRecord, PolicyList, TcbStatus} from "../src/BootRecord.sol";
import {IAppAuthority} from "../src/interfaces/IAppAuthority.sol";
import {Fixture} from "./Fixture.sol";

/// @notice S5: allowed means that every clause holds. The clauses are stated here a second time, from the public
/// getters, and compared with the verdict for random records under random policies, both ways.
contract PolicyTest is Fixture {
    string[5] private _statuses = ["UpToDate", "SWHardeningNeeded", "OutOfDate", "Revoked", "unknown"];
    uint8[8] private _oddStatus = [1, 1, 1, 1, 2, 2, 3, 4];
    string[2] private _ids = ["INTEL-SA-00001", "INTEL-SA-00002"];

    function setUp() public {
        _deploy();
    }

    // Each byte of `seed` decides one thing; a few values each, so that records are often allowed. The seeds are
    // hashed first: a fuzzer likes zeros, and a zero here is the rare case, so that all would come at once.
    function _pick(uint256 seed, uint256 index, uint256 count) private pure returns (uint256) {
        return uint8(seed >> (8 * index)) % count;
    }

    /// @dev True once in `odds` times.
    function _rarely(uint256 seed, uint256 index, uint256 odds) private pure returns (bool) {
        return _pick(seed, index, odds) == 0;
    }

    function _randomPolicy(uint256 seed) private {
        vm.startPrank(OWNER);
        if (_rarely(seed, 0, 16)) kms.removeAttestationRoot(ROOT);
        if (_rarely(seed, 1, 2)) kms.allowTcbStatus(TcbStatus.SWHardeningNeeded);
        if (_rarely(seed, 2, 2)) kms.allowTcbStatus(TcbStatus.OutOfDate);
        kms.setGracePeriodDays(uint16(_pick(seed, 3, 3) * 100));
        if (_rarely(seed, 4, 8)) kms.setAdvisoryDenied(_ids[0], true);
        if (!_rarely(seed, 5, 3)) kms.setAdvisoryAccepted(_ids[1], true);
        if (_rarely(seed, 6, 4)) kms.addFmspc(FMSPC);
        if (_rarely(seed, 7, 4)) kms.addMrSeam(_seam(1));
        if (_rarely(seed, 8, 4)) kms.addPlatform(DEVICE);
        if (_rarely(seed, 9, 16)) kms.removeOsImageHash(IMAGE);
        if (_rarely(seed, 10, 16)) kms.setReleasePaused(true);
        if (_rarely(seed, 11, 16)) kms.unregisterApp(address(app));
        if (_rarely(seed, 12, 2)) kms.recordKeyEpoch(2, _identity(2));
        if (_rarely(seed, 13, 8) && kms.keyEpoch() == 2) kms.setMinKeyEpoch(2);
        if (_rarely(seed, 14, 12)) kms.setMinTcbEvaluationDataNumber(EVALUATION + 1);
        if (_rarely(seed, 15, 12)) kms.setMinTdxModuleSvn(MODULE_SVN + 1);
        vm.stopPrank();
        vm.startPrank(APP_OWNER);
        if (_rarely(seed, 16, 4)) app.setAllowAnyDevice(true);
        if (_rarely(seed, 17, 4)) app.setRequireTcbUpToDate(true);
        if (_rarely(seed, 18, 16)) app.removeComposeHash(COMPOSE);
        if (_rarely(seed, 19, 8)) app.addOsImageHash(bytes32(uint256(1)));
        vm.stopPrank();
    }

    function _randomRecord(uint256 seed) private view returns (BootRecord memory record) {
        record = _record();
        if (_rarely(seed, 20, 16)) record.attestationRoot = bytes32(uint256(1));
        record.info.tcbStatus =
            _rarely(seed, 21, 2) ? _statuses[_oddStatus[_pick(seed, 22, 8)]] : _statuses[0];
        if (_rarely(seed, 23, 2)) record.info.advisoryIds = _advisories(_ids[_pick(seed, 24, 2)]);
        if (_rarely(seed, 25, 12)) record.fmspc = 0x010101010101;
        if (_rarely(seed, 26, 12)) record.mrSeam = _seam(2);
        if (_rarely(seed, 27, 12)) record.info.deviceId = bytes32(uint256(1));
        if (_rarely(seed, 28, 16)) record.mrSeam = new bytes(47);
        record.keyEpoch = uint32(_rarely(seed, 29, 6) ? _pick(seed, 30, 4) : 1);
        if (_rarely(seed, 31, 16)) record.teeType = 0;
    }

    function _in(string memory status, TcbStatus expected) private view returns (bool) {
        return keccak256(bytes(status)) == keccak256(bytes(_names(expected)));
    }

    function _names(TcbStatus status) private view returns (string memory) {
        if (status == TcbStatus.UpToDate) return _statuses[0];
        if (status == TcbStatus.SWHardeningNeeded) return _statuses[1];
        return _statuses[2];
    }

    function _statusClause(BootRecord memory record) private view returns (bool) {
        uint256 set = kms.tcbPolicy().allowedStatuses;
        string memory status = record.info.tcbStatus;
        if (_in(status, TcbStatus.UpToDate)) return set & 1 != 0;
        if (_in(status, TcbStatus.SWHardeningNeeded)) return set & 2 != 0;
        if (!_in(status, TcbStatus.OutOfDate) || set & 64 == 0) return false;
        return block.timestamp < record.tcbDate + uint256(kms.tcbPolicy().gracePeriodDays) * 86_400;
    }

    function _advisoryClause(AppBootInfo memory info) private view returns (bool) {
        for (uint256 i = 0; i < info.advisoryIds.length; ++i) {
            if (kms.deniedAdvisories(info.advisoryIds[i])) return false;
            bool accepted = kms.acceptedAdvisories(info.advisoryIds[i]);
            if (!accepted && !_in(info.tcbStatus, TcbStatus.UpToDate)) return false;
        }
        return true;
    }

    function _rootClause(bytes32 root) private view returns (bool found) {
        bytes32[] memory roots = kms.attestationRoots();
        for (uint256 i = 0; i < roots.length; ++i) {
            found = found || roots[i] == root;
        }
    }

    function _networkClauses(BootRecord memory record) private view returns (bool) {
        return !kms.releasePaused() && kms.registeredApps(record.info.appId)
            && kms.allowedOsImages(record.info.osImageHash) && record.teeType == 0x81
            && record.mrSeam.length == 48 && _rootClause(record.attestationRoot) && _statusClause(record)
            && _advisoryClause(record.info)
            && record.tcbEvaluationDataNumber >= kms.tcbPolicy().minTcbEvaluationDataNumber
            && record.tdxModuleSvn >= kms.tcbPolicy().minTdxModuleSvn && kms.allowedMrSeams(record.mrSeam)
            && kms.allowedFmspcs(record.fmspc) && kms.allowedPlatforms(record.info.deviceId)
            && record.keyEpoch >= kms.minKeyEpoch() && record.keyEpoch <= kms.keyEpoch();
    }

    function _appClauses(AppBootInfo memory info) private view returns (bool) {
        return app.allowedComposeHashes(info.composeHash)
            && (app.allowAnyDevice() || app.allowedDeviceIds(info.deviceId))
            && app.allowedOsImages(info.osImageHash)
            && (!app.requireTcbUpToDate() || _in(info.tcbStatus, TcbStatus.UpToDate));
    }

    function testFuzz_s5_allowed_means_every_clause(uint256 seed) public {
        seed = uint256(keccak256(abi.encode(seed)));
        _randomPolicy(seed);
        BootRecord memory record = _randomRecord(seed);
        bool expected = _networkClauses(record) && _appClauses(record.info);
        (bool allowed,) = kms.isAppAllowedV2(record);
        vm.assertTrue(allowed == expected, "verdict and clauses agree");
    }

    /// Version 1 is never laxer than version 2 about what it knows.
    function testFuzz_s5_version_1_obeys_the_same_rules(uint256 seed) public {
        seed = uint256(keccak256(abi.encode(seed)));
        _randomPolicy(seed);
        BootRecord memory record = _randomRecord(seed);
        record.tcbDate = 0;
        bool expected = !kms.releasePaused() && kms.registeredApps(record.info.appId)
            && kms.allowedOsImages(record.info.osImageHash) && kms.attestationRoots().length != 0
            && _statusClause(record) && _advisoryClause(record.info)
            && kms.allowedPlatforms(record.info.deviceId) && _appClauses(record.info);
        (bool allowed,) = kms.isAppAllowed(record.info);
        vm.assertTrue(allowed == expected, "verdict and clauses agree");
    }

    function testFuzz_s5_a_node_obeys_the_network_and_its_app(uint256 seed) public {
        seed = uint256(keccak256(abi.encode(seed)));
        vm.prank(OWNER);
        kms.setKmsAppId(address(app));
        _randomPolicy(seed);
        BootRecord memory record = _randomRecord(seed);
        (bool node,) = kms.isKmsAllowedV2(record);
        (bool instance,) = kms.isAppAllowedV2(record);
        vm.assertTrue(!instance || node, "an instance of the KMS app is a node");
        if (node && !instance) {
            vm.assertEq(record.keyEpoch, uint256(kms.keyEpoch()) + 1, "but for the epoch it prepares");
        }
    }

    /// Both verdicts must occur among random cases, or the properties above say nothing.
    function test_random_cases_are_often_allowed() public {
        uint256 allowed;
        for (uint256 i = 0; i < 60; ++i) {
            _deploy();
            uint256 seed = uint256(keccak256(abi.encode(i)));
            _randomPolicy(seed);
            (bool ok,) = kms.isAppAllowedV2(_randomRecord(seed));
            if (ok) ++allowed;
        }
        vm.assertTrue(allowed > 4 && allowed < 56, "both verdicts occur");
    }
}
