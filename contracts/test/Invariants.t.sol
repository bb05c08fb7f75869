// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BootRecord, TcbStatus} from "../src/BootRecord.sol";
import {App, Kms} from "./Contracts.sol";
import {Fixture} from "./Fixture.sol";
import {Vm} from "./Vm.sol";

/// @notice Everything that accounts without the power to grant may do, with arguments from a small world.
contract Restrictor {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    Kms private immutable _kms;
    App private immutable _app;
    address private immutable _guardian;
    address private immutable _appGuardian;
    bytes32[4] private _hashes;
    string[2] private _ids = ["INTEL-SA-00001", "INTEL-SA-00002"];
    function() external private _observe;
    function() external private _restore;

    constructor(
        Kms kms,
        App app,
        address guardian,
        address appGuardian,
        bytes32[4] memory hashes,
        function() external observe,
        function() external restore
    ) {
        _kms = kms;
        _app = app;
        _guardian = guardian;
        _appGuardian = appGuardian;
        _hashes = hashes;
        _observe = observe;
        _restore = restore;
    }

    // Half of the calls come from the guardian, half from nobody in particular.
    function _try(address target, uint256 seed, bytes memory data) private {
        address guardian = target == address(_kms) ? _guardian : _appGuardian;
        vm.prank(seed % 2 == 0 ? guardian : address(uint160(0x5000 + seed % 7)));
        (bool ok,) = target.call(data);
        if (ok) _observe();
    }

    function _hash(uint256 seed) private view returns (bytes32) {
        return _hashes[(seed / 2) % 4];
    }

    function policy(uint256 seed, uint8 kind, uint16 number) external {
        address k = address(_kms);
        string memory id = _ids[(seed / 8) % 2];
        bool flag = number % 2 == 0;
        kind %= 11;
        if (kind == 0) _try(k, seed, abi.encodeCall(_kms.disallowTcbStatus, (TcbStatus(number % 9))));
        if (kind == 1) _try(k, seed, abi.encodeCall(_kms.allowTcbStatus, (TcbStatus(number % 9))));
        if (kind == 2) _try(k, seed, abi.encodeCall(_kms.setAdvisoryDenied, (id, flag)));
        if (kind == 3) _try(k, seed, abi.encodeCall(_kms.setAdvisoryAccepted, (id, flag)));
        if (kind == 4) _try(k, seed, abi.encodeCall(_kms.setMinTcbEvaluationDataNumber, (number % 40)));
        if (kind == 5) _try(k, seed, abi.encodeCall(_kms.setMinTdxModuleSvn, (uint8(number % 24))));
        if (kind == 6) _try(k, seed, abi.encodeCall(_kms.setGracePeriodDays, (number)));
        if (kind == 7) _try(k, seed, abi.encodeCall(_kms.removeFmspc, (0x90c06f000000)));
        if (kind == 8) _try(k, seed, abi.encodeCall(_kms.addFmspc, (bytes6(uint48(number)))));
        if (kind == 9) _try(k, seed, abi.encodeCall(_kms.removePlatform, (_hash(seed))));
        if (kind == 10) _try(k, seed, abi.encodeCall(_kms.setMinKeyEpoch, (number % 4)));
    }

    function measurements(uint256 seed, uint8 kind) external {
        address k = address(_kms);
        bytes32 hash = _hash(seed);
        kind %= 8;
        if (kind == 0) _try(k, seed, abi.encodeCall(_kms.removeAttestationRoot, (hash)));
        if (kind == 1) _try(k, seed, abi.encodeCall(_kms.addAttestationRoot, (hash)));
        if (kind == 2) _try(k, seed, abi.encodeCall(_kms.removeOsImageHash, (hash)));
        if (kind == 3) _try(k, seed, abi.encodeCall(_kms.addOsImageHash, (hash)));
        if (kind == 4) _try(k, seed, abi.encodeCall(_kms.removeKmsDevice, (hash)));
        if (kind == 5) _try(k, seed, abi.encodeCall(_kms.addKmsDevice, (hash)));
        if (kind == 6) _try(k, seed, abi.encodeCall(_kms.transferOwnership, (_guardian)));
        if (kind == 7) _try(k, seed, abi.encodeCall(_kms.acceptOwnership, ()));
    }

    function application(uint256 seed, uint8 kind, bool flag) external {
        address a = address(_app);
        bytes32 hash = _hash(seed);
        kind %= 11;
        if (kind == 0) _try(a, seed, abi.encodeCall(_app.removeComposeHash, (hash)));
        if (kind == 1) _try(a, seed, abi.encodeCall(_app.addComposeHash, (hash)));
        if (kind == 2) _try(a, seed, abi.encodeCall(_app.removeDevice, (hash)));
        if (kind == 3) _try(a, seed, abi.encodeCall(_app.addDevice, (hash)));
        if (kind == 4) _try(a, seed, abi.encodeCall(_app.setAllowAnyDevice, (flag)));
        if (kind == 5) _try(a, seed, abi.encodeCall(_app.setRequireTcbUpToDate, (flag)));
        if (kind == 6) _try(a, seed, abi.encodeCall(_app.removeOsImageHash, (hash)));
        if (kind == 7) _try(a, seed, abi.encodeCall(_app.addOsImageHash, (hash)));
        if (kind == 8) _try(a, seed, abi.encodeCall(_app.liftOsImageRestriction, ()));
        if (kind == 9) _try(a, seed, abi.encodeCall(_app.setNoticePeriod, (uint64(seed % 100))));
        if (kind == 10) _try(a, seed, abi.encodeCall(_app.transferOwnership, (_appGuardian)));
    }

    // Taken back by the very next call as often as not.
    function switches(uint256 seed, uint8 kind) external {
        address k = address(_kms);
        kind %= 4;
        if (kind == 0) _try(k, seed, abi.encodeCall(_kms.setReleasePaused, (true)));
        if (kind == 1) _try(k, seed, abi.encodeCall(_kms.setReleasePaused, (false)));
        if (kind == 2) _try(k, seed, abi.encodeCall(_kms.unregisterApp, (address(_app))));
        if (kind == 3) _try(k, seed, abi.encodeCall(_kms.registerApp, (address(_app))));
    }

    /// @dev The owners put right what was restricted; otherwise all is soon denied and a grant could not be seen.
    function owners() external {
        _restore();
    }

    function nodes(uint256 seed, uint64 size) external {
        _try(address(_kms), seed, abi.encodeCall(_kms.anchorLog, (size, _hash(seed))));
        _try(address(_kms), seed, abi.encodeCall(_kms.recordOnboarding, (_hash(seed), uint32(size))));
    }
}

/// @notice S1, S3, S5: what is denied stays denied, whatever others than the owners call and however long.
contract InvariantsTest is Fixture {
    uint256 private constant PANEL = 14;

    Restrictor private _handler;
    bool[PANEL] private _once;
    bool private _granted;

    function setUp() public {
        _deploy();
        vm.prank(OWNER);
        kms.recordKeyEpoch(2, _identity(2));
        _grantAll();
        _handler = new Restrictor(
            kms, app, GUARDIAN, APP_GUARDIAN, [ROOT, IMAGE, COMPOSE, DEVICE], this.observe, this.restore
        );
        _note();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function _grantAll() private {
        vm.startPrank(OWNER);
        kms.setReleasePaused(false);
        kms.registerApp(address(app));
        kms.addAttestationRoot(ROOT);
        kms.addOsImageHash(IMAGE);
        kms.allowTcbStatus(TcbStatus.UpToDate);
        kms.allowTcbStatus(TcbStatus.SWHardeningNeeded);
        kms.setAdvisoryDenied("INTEL-SA-00001", false);
        kms.setAdvisoryDenied("INTEL-SA-00002", false);
        kms.setAdvisoryAccepted("INTEL-SA-00001", true);
        kms.setMinTcbEvaluationDataNumber(EVALUATION);
        kms.setMinTdxModuleSvn(MODULE_SVN);
        kms.setMinKeyEpoch(1);
        kms.addFmspc(FMSPC);
        kms.addPlatform(DEVICE);
        vm.stopPrank();
        vm.startPrank(APP_OWNER);
        app.addComposeHash(COMPOSE);
        app.addDevice(DEVICE);
        app.setRequireTcbUpToDate(false);
        vm.stopPrank();
    }

    /// @dev Records near the allowed one, each away from it in some ways.
    function _panel(uint256 index) private view returns (BootRecord memory record) {
        record = _record();
        if (index % 4 == 2) record.info.tcbStatus = "SWHardeningNeeded";
        if (index % 3 == 1) record.info.advisoryIds = _advisories("INTEL-SA-00001");
        if (index % 6 == 5) record.info.advisoryIds = _advisories("INTEL-SA-00002");
        if (index % 4 == 1) record.keyEpoch = 2;
        if (index % 5 == 1) record.tdxModuleSvn = 20;
        if (index % 5 == 2) record.tcbEvaluationDataNumber = 30;
        if (index % 5 == 3) record.tcbEvaluationDataNumber = EVALUATION - 4;
        if (index % 5 == 4) record.tdxModuleSvn = MODULE_SVN - 4;
        if (index % 7 == 3) record.info.osImageHash = COMPOSE;
        if (index % 7 == 4) record.info.composeHash = IMAGE;
        if (index % 7 == 5) record.attestationRoot = IMAGE;
        if (index % 7 == 6) record.info.deviceId = ROOT;
    }

    function _allowed(uint256 index) private view returns (bool v2) {
        BootRecord memory record = _panel(index);
        (v2,) = kms.isAppAllowedV2(record);
        (bool v1,) = kms.isAppAllowed(record.info);
        vm.assertTrue(v1 || !v2, "version 2 is at least as strict");
    }

    function _note() private {
        uint256 count;
        for (uint256 i = 0; i < PANEL; ++i) {
            _once[i] = _allowed(i);
            if (_once[i]) ++count;
        }
        vm.assertTrue(count > 2 && count < PANEL - 2, "a panel of both kinds");
    }

    /// @dev Called after every action that went through; state noted in an invariant itself would be forgotten.
    function observe() external {
        for (uint256 i = 0; i < PANEL; ++i) {
            bool now_ = _allowed(i);
            if (now_ && !_once[i]) _granted = true;
            _once[i] = now_;
        }
    }

    function restore() external {
        _grantAll();
        _note();
    }

    function invariant_s1_s5_denied_is_denied_until_an_owner_grants() public view {
        vm.assertFalse(_granted, "a grant without an owner");
        vm.assertEq(kms.owner(), OWNER, "the network's owner stays");
        vm.assertEq(app.owner(), APP_OWNER, "the app's owner stays");
    }
}
