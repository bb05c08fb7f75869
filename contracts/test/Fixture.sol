// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {AppBootInfo, BootRecord, KmsIdentity} from "../src/BootRecord.sol";
import {IKmsAuthority} from "../src/interfaces/IKmsAuthority.sol";
import {App, Kms} from "./Contracts.sol";
import {Vm} from "./Vm.sol";

/// @notice A network that allows one app, and a record it allows.
abstract contract Fixture {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant START = 1_800_000_000;
    address internal constant OWNER = address(0xA0);
    address internal constant GUARDIAN = address(0xB0);
    address internal constant STRANGER = address(0xC0);
    address internal constant APP_OWNER = address(0xD0);
    address internal constant APP_GUARDIAN = address(0xE0);

    bytes32 internal constant ROOT = bytes32(uint256(0x0100));
    bytes32 internal constant IMAGE = bytes32(uint256(0x0200));
    bytes32 internal constant COMPOSE = bytes32(uint256(0x0300));
    bytes32 internal constant DEVICE = bytes32(uint256(0x0400));
    bytes32 internal constant MR_AGGREGATED = bytes32(uint256(0x0500));
    bytes6 internal constant FMSPC = 0x90c06f000000;
    uint32 internal constant EVALUATION = 17;
    uint8 internal constant MODULE_SVN = 11;

    Kms internal kms;
    App internal app;
    App internal kmsApp;

    function _deploy() internal {
        vm.warp(START);
        address appImplementation = _create("AppAuthority.sol:AppAuthority");
        kms = Kms(
            address(
                new ERC1967Proxy(
                    _create("KmsAuthority.sol:KmsAuthority"),
                    abi.encodeCall(IKmsAuthority.initialize, (OWNER, appImplementation))
                )
            )
        );
        app = _app();
        kmsApp = _app();
        vm.prank(APP_OWNER);
        app.setGuardian(APP_GUARDIAN);
        vm.startPrank(OWNER);
        kms.addAttestationRoot(ROOT);
        kms.addOsImageHash(IMAGE);
        kms.setMinTcbEvaluationDataNumber(EVALUATION);
        kms.setMinTdxModuleSvn(MODULE_SVN);
        kms.setGuardian(GUARDIAN);
        kms.setKmsAppId(address(kmsApp));
        kms.recordKeyEpoch(1, _identity(1));
        kms.addKmsAggregatedMr(MR_AGGREGATED);
        kms.addKmsDevice(DEVICE);
        vm.stopPrank();
    }

    function _app() internal returns (App) {
        return App(kms.deployAndRegisterApp(APP_OWNER, false, false, DEVICE, COMPOSE));
    }

    function _create(string memory artifact) internal returns (address created) {
        bytes memory code = vm.getCode(artifact);
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
        }
        vm.assertTrue(created != address(0), artifact);
    }

    function _identity(uint8 seed) internal pure returns (KmsIdentity memory) {
        bytes memory key = new bytes(33);
        key[0] = 0x02;
        key[32] = bytes1(seed);
        return KmsIdentity({
            k256Pubkey: key, caSpkiHash: bytes32(uint256(seed) + 1), hpkeKey: bytes32(uint256(seed) + 2)
        });
    }

    function _seam(uint8 seed) internal pure returns (bytes memory seam) {
        seam = new bytes(48);
        seam[47] = bytes1(seed);
    }

    function _record() internal view returns (BootRecord memory record) {
        record.info.appId = address(app);
        record.info.composeHash = COMPOSE;
        record.info.instanceId = address(0x1234);
        record.info.deviceId = DEVICE;
        record.info.mrAggregated = MR_AGGREGATED;
        record.info.mrSystem = bytes32(uint256(0x0600));
        record.info.osImageHash = IMAGE;
        record.info.tcbStatus = "UpToDate";
        record.attestationRoot = ROOT;
        record.teeType = 0x81;
        record.mrSeam = _seam(1);
        record.tdxModuleVersion = 1;
        record.tdxModuleSvn = MODULE_SVN;
        record.fmspc = FMSPC;
        record.tcbEvaluationDataNumber = EVALUATION;
        record.tcbDate = uint64(START - 100 days);
        record.keyEpoch = 1;
    }

    function _advisories(string memory id) internal pure returns (string[] memory ids) {
        ids = new string[](1);
        ids[0] = id;
    }

    function _ask(BootRecord memory record) internal view returns (string memory) {
        (bool ok, string memory reason) = kms.isAppAllowedV2(record);
        vm.assertTrue(ok == (bytes(reason).length == 0), "a denial has a reason, an allowance none");
        return reason;
    }

    function _askV1(AppBootInfo memory info) internal view returns (string memory) {
        (bool ok, string memory reason) = kms.isAppAllowed(info);
        vm.assertTrue(ok == (bytes(reason).length == 0), "a denial has a reason, an allowance none");
        return reason;
    }

    function _askKms(BootRecord memory record) internal view returns (string memory) {
        (bool ok, string memory reason) = kms.isKmsAllowedV2(record);
        vm.assertTrue(ok == (bytes(reason).length == 0), "a denial has a reason, an allowance none");
        return reason;
    }

    function _askKmsV1(AppBootInfo memory info) internal view returns (string memory) {
        (bool ok, string memory reason) = kms.isKmsAllowed(info);
        vm.assertTrue(ok == (bytes(reason).length == 0), "a denial has a reason, an allowance none");
        return reason;
    }

    function _same(string memory actual, string memory expected) internal pure {
        vm.assertEq(actual, expected, "denial");
    }

    function _bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }
}
