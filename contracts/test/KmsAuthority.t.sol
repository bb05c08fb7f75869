// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {BootRecord, KmsIdentity, NetworkState} from "../src/BootRecord.sol";
import {IGoverned} from "../src/interfaces/IGoverned.sol";
import {IKmsAuthority} from "../src/interfaces/IKmsAuthority.sol";
import {App, Kms} from "./Contracts.sol";
import {Fixture} from "./Fixture.sol";

contract KmsAuthorityTest is Fixture {
    function setUp() public {
        _deploy();
    }

    function test_a_fresh_network_allows_nothing() public {
        address implementation = kms.appImplementation();
        vm.expectRevert(abi.encodeWithSelector(Initializable.InvalidInitialization.selector));
        kms.initialize(STRANGER, implementation);
        Kms bare = Kms(_create("KmsAuthority.sol:KmsAuthority"));
        vm.expectRevert(abi.encodeWithSelector(Initializable.InvalidInitialization.selector));
        bare.initialize(STRANGER, implementation);
    }

    function test_app_not_registered() public {
        BootRecord memory record = _record();
        record.info.appId = address(0xABCD);
        string memory denial = "app_not_registered: 0x000000000000000000000000000000000000abcd";
        _same(_ask(record), denial);
        _same(_askV1(record.info), denial);
        vm.prank(STRANGER);
        kms.registerApp(address(0xABCD));
        denial = "app_not_deployed: 0x000000000000000000000000000000000000abcd";
        _same(_ask(record), denial);
        _same(_askV1(record.info), denial);
    }

    /// Anyone may register, so a removal that anyone could undo would be none.
    function test_s3_an_unregistered_app_comes_back_by_the_owner_only() public {
        vm.prank(GUARDIAN);
        kms.unregisterApp(address(app));
        vm.assertFalse(kms.registeredApps(address(app)), "struck off");
        vm.assertTrue(bytes(_ask(_record())).length != 0, "denied at once");
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.AppWasUnregistered.selector, address(app)));
        kms.registerApp(address(app));
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.AppWasUnregistered.selector, address(app)));
        kms.registerApp(address(app));
        vm.prank(OWNER);
        kms.registerApp(address(app));
        _same(_ask(_record()), "");
    }

    function test_register_refuses_zero() public {
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ZeroValue.selector));
        kms.registerApp(address(0));
    }

    function test_os_image_expires() public {
        bytes32 image = bytes32(uint256(9));
        BootRecord memory record = _record();
        record.info.osImageHash = image;
        _same(
            _ask(record),
            "os_image_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000009"
        );
        vm.prank(OWNER);
        kms.addOsImageHashUntil(image, uint64(START + 100));
        _same(_ask(record), "");
        vm.assertTrue(kms.allowedOsImages(image), "allowed");
        vm.warp(START + 99);
        _same(_ask(record), "");
        vm.warp(START + 100);
        string memory denial =
            "expired: os_image 0x0000000000000000000000000000000000000000000000000000000000000009 at 1800000100";
        _same(_ask(record), denial);
        _same(_askV1(record.info), denial);
        vm.assertFalse(kms.allowedOsImages(image), "expired");
        (bool given, uint64 validUntil) = kms.osImageGrant(image);
        vm.assertTrue(given && validUntil == START + 100, "grant");
        vm.prank(OWNER);
        kms.addOsImageHash(image);
        _same(_ask(record), "");
    }

    function test_expiry_must_lie_ahead() public {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ExpiryInPast.selector, START, START));
        kms.addOsImageHashUntil(IMAGE, uint64(START));
    }

    function test_paused() public {
        vm.prank(GUARDIAN);
        kms.setReleasePaused(true);
        BootRecord memory record = _record();
        _same(_ask(record), "releases_paused");
        _same(_askV1(record.info), "releases_paused");
        _same(_askKmsV1(record.info), "releases_paused");
        record.info.appId = address(kmsApp);
        _same(_askKms(record), "releases_paused");
        vm.prank(GUARDIAN);
        vm.expectRevert();
        kms.setReleasePaused(false);
        vm.prank(OWNER);
        kms.setReleasePaused(false);
        _same(_askKms(record), "");
    }

    function test_key_epochs() public {
        BootRecord memory record = _record();
        record.keyEpoch = 0;
        _same(_ask(record), "key_epoch_too_low: 0 < 1");
        record.keyEpoch = 2;
        _same(_ask(record), "key_epoch_unknown: 2 > 1");
        vm.prank(OWNER);
        kms.recordKeyEpoch(2, _identity(2));
        _same(_ask(record), "");
        record.keyEpoch = 1;
        _same(_ask(record), "");
        vm.prank(GUARDIAN);
        kms.setMinKeyEpoch(2);
        _same(_ask(record), "key_epoch_too_low: 1 < 2");
        vm.prank(OWNER);
        kms.setMinKeyEpoch(1);
        _same(_ask(record), "");
    }

    function test_epochs_follow_one_another_and_never_change() public {
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.UnexpectedKeyEpoch.selector, 1, 2));
        kms.recordKeyEpoch(1, _identity(9));
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.UnexpectedKeyEpoch.selector, 3, 2));
        kms.recordKeyEpoch(3, _identity(9));
        KmsIdentity memory identity = _identity(2);
        identity.k256Pubkey = new bytes(32);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.WrongKeyLength.selector, 32, 33));
        kms.recordKeyEpoch(2, identity);
        identity = _identity(2);
        identity.hpkeKey = 0;
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ZeroValue.selector));
        kms.recordKeyEpoch(2, identity);
        vm.stopPrank();
    }

    function test_min_epoch_is_one_that_exists() public {
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.MinKeyEpochOutOfRange.selector, 2, 1));
        kms.setMinKeyEpoch(2);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.MinKeyEpochOutOfRange.selector, 0, 1));
        kms.setMinKeyEpoch(0);
        vm.stopPrank();
    }

    function test_kms_node() public {
        BootRecord memory record = _record();
        record.info.appId = address(kmsApp);
        _same(_askKms(record), "");
        record.keyEpoch = 2;
        _same(_askKms(record), "");
        record.keyEpoch = 3;
        _same(_askKms(record), "key_epoch_unknown: 3 > 2");
        record.keyEpoch = 1;
        record.attestationRoot = bytes32(uint256(1));
        vm.assertTrue(bytes(_askKms(record)).length != 0, "network rules apply to nodes");
        record = _record();
        vm.prank(OWNER);
        kms.setKmsAppId(address(0x77));
        record.info.appId = address(kmsApp);
        vm.assertTrue(bytes(_askKms(record)).length != 0, "another app");
        record.info.appId = address(0x77);
        _same(_askKms(record), "app_not_registered: 0x0000000000000000000000000000000000000077");
        vm.prank(OWNER);
        kms.setKmsAppId(address(0));
        record.info.appId = address(0);
        _same(_askKms(record), "kms_app_not_set");
    }

    function test_kms_node_v1() public {
        BootRecord memory record = _record();
        _same(_askKmsV1(record.info), "");
        record.info.mrAggregated = 0;
        _same(
            _askKmsV1(record.info),
            "mr_aggregated_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000000"
        );
        vm.prank(GUARDIAN);
        kms.removeKmsDevice(DEVICE);
        _same(
            _askKmsV1(_record().info),
            "device_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000400"
        );
        vm.prank(GUARDIAN);
        kms.removeKmsAggregatedMr(MR_AGGREGATED);
        vm.assertFalse(kms.kmsAllowedAggregatedMrs(MR_AGGREGATED), "removed");
        vm.prank(OWNER);
        kms.addKmsAggregatedMrUntil(MR_AGGREGATED, uint64(START + 1));
        vm.assertTrue(kms.kmsAllowedAggregatedMrs(MR_AGGREGATED), "added");
        vm.warp(START + 1);
        vm.assertFalse(kms.kmsAllowedAggregatedMrs(MR_AGGREGATED), "expired");
        vm.assertFalse(kms.kmsAllowedDeviceIds(DEVICE), "device");
    }

    function test_factory_with_five_and_six_arguments() public {
        App five = App(kms.deployAndRegisterApp(APP_OWNER, true, true, bytes32(0), bytes32(0)));
        vm.assertTrue(five.upgradesDisabled() && five.allowAnyDevice(), "five");
        vm.assertFalse(five.requireTcbUpToDate(), "five leaves the status to the network");
        App six = App(kms.deployAndRegisterApp(APP_OWNER, false, true, false, DEVICE, COMPOSE));
        vm.assertTrue(six.requireTcbUpToDate() && six.allowedDeviceIds(DEVICE), "six");
        vm.assertFalse(six.upgradesDisabled() || six.allowAnyDevice(), "six");
        vm.assertTrue(six.allowedComposeHashes(COMPOSE) && kms.registeredApps(address(six)), "six");
        vm.assertEq(six.owner(), APP_OWNER, "owner");
    }

    function test_factory_needs_an_implementation_and_an_owner() public {
        vm.expectRevert();
        kms.deployAndRegisterApp(address(0), false, false, bytes32(0), bytes32(0));
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.NotAContract.selector, address(0)));
        kms.setAppImplementation(address(0));
    }

    function test_network_state() public {
        vm.startPrank(OWNER);
        kms.setGatewayAppId("0xabc");
        kms.recordKeyEpoch(2, _identity(5));
        vm.stopPrank();
        NetworkState memory state = kms.networkState();
        vm.assertEq(state.attestationRoots.length, 1, "roots");
        vm.assertEq(state.attestationRoots[0], ROOT, "root");
        vm.assertEq(state.keyEpoch, 2, "epoch");
        vm.assertEq(state.minKeyEpoch, 1, "min epoch");
        vm.assertFalse(state.releasePaused, "paused");
        vm.assertEq(state.kmsAppId, address(kmsApp), "kms app");
        vm.assertEq(state.gatewayAppId, "0xabc", "gateway");
        vm.assertEq(state.minTcbEvaluationDataNumber, EVALUATION, "evaluation");
        vm.assertEq(state.identity.caSpkiHash, _identity(5).caSpkiHash, "identity");
        vm.assertEq(kms.kmsIdentity(1).hpkeKey, _identity(1).hpkeKey, "old identity");
        vm.assertEq(kms.kmsIdentity(3).k256Pubkey, "", "no identity");
    }

    function test_kms_info_of_version_1() public {
        vm.startPrank(OWNER);
        kms.setKmsInfo(IKmsAuthority.KmsInfo("k", "c", "q", "e"));
        kms.setKmsQuote("quote");
        kms.setKmsEventlog("log");
        vm.stopPrank();
        (bytes memory k, bytes memory c, bytes memory q, bytes memory e) = kms.kmsInfo();
        vm.assertEq(bytes.concat(k, c, q, e), "kcquotelog", "info");
    }

    function test_log_only_grows() public {
        vm.expectEmit(address(kms));
        emit IKmsAuthority.LogAnchored(5, bytes32(uint256(1)), STRANGER);
        vm.prank(STRANGER);
        kms.anchorLog(5, bytes32(uint256(1)));
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IKmsAuthority.LogDidNotGrow.selector, 5, 5));
        kms.anchorLog(5, bytes32(uint256(2)));
        (uint64 size, bytes32 root) = kms.anchoredLog(STRANGER);
        vm.assertTrue(size == 5 && root == bytes32(uint256(1)), "anchor");
        (size,) = kms.anchoredLog(OWNER);
        vm.assertEq(size, 0, "every node has its own");
    }

    function test_onboarding_names_its_source() public {
        vm.expectEmit(address(kms));
        emit IKmsAuthority.NodeOnboarded(STRANGER, bytes32(uint256(1)), 1);
        vm.prank(STRANGER);
        kms.recordOnboarding(bytes32(uint256(1)), 1);
    }

    function test_gas_of_one_decision() public view {
        kms.isAppAllowedV2(_record());
    }
}
