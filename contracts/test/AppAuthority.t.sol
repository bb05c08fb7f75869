// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {BootRecord, TcbStatus} from "../src/BootRecord.sol";
import {IAppAuthBasicManagement} from "../src/interfaces/IAppAuthBasicManagement.sol";
import {IAppAuthority} from "../src/interfaces/IAppAuthority.sol";
import {IGoverned} from "../src/interfaces/IGoverned.sol";
import {App} from "./Contracts.sol";
import {Fixture} from "./Fixture.sol";

contract AppAuthorityTest is Fixture {
    bytes32 private constant OTHER = bytes32(uint256(0x0abc));
    uint64 private constant WEEK = 7 days;

    function setUp() public {
        _deploy();
    }

    function test_implementation_cannot_be_initialised() public {
        App bare = App(_create("AppAuthority.sol:AppAuthority"));
        vm.expectRevert(abi.encodeWithSelector(Initializable.InvalidInitialization.selector));
        bare.initialize(STRANGER, false, false, bytes32(0), bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(Initializable.InvalidInitialization.selector));
        app.initialize(STRANGER, false, false, false, bytes32(0), bytes32(0));
    }

    function test_compose_hash() public {
        BootRecord memory record = _record();
        record.info.composeHash = OTHER;
        string memory denial =
            "compose_hash_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000abc";
        _same(_ask(record), denial);
        _same(_askV1(record.info), denial);
        vm.expectEmit(address(app));
        emit IAppAuthBasicManagement.ComposeHashAdded(OTHER);
        vm.prank(APP_OWNER);
        app.addComposeHash(OTHER);
        _same(_ask(record), "");
        vm.prank(APP_GUARDIAN);
        app.removeComposeHash(OTHER);
        _same(_ask(record), denial);
    }

    function test_another_apps_record_is_refused() public view {
        (bool ok, string memory reason) = kmsApp.isAppAllowedV2(_record());
        vm.assertFalse(ok, "another app");
        vm.assertTrue(bytes(reason).length > 30, "both addresses");
    }

    function test_device() public {
        BootRecord memory record = _record();
        record.info.deviceId = OTHER;
        string memory denial =
            "device_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000abc";
        _same(_ask(record), denial);
        vm.prank(APP_OWNER);
        app.setAllowAnyDevice(true);
        _same(_ask(record), "");
        vm.prank(APP_GUARDIAN);
        app.setAllowAnyDevice(false);
        _same(_ask(record), denial);
        vm.prank(APP_OWNER);
        app.addDevice(OTHER);
        _same(_ask(record), "");
        vm.prank(APP_GUARDIAN);
        app.removeDevice(OTHER);
        _same(_ask(record), denial);
    }

    function test_stricter_about_the_status_never_laxer() public {
        BootRecord memory record = _record();
        record.info.tcbStatus = "ConfigurationNeeded";
        vm.prank(OWNER);
        kms.allowTcbStatus(TcbStatus.ConfigurationNeeded);
        _same(_ask(record), "");
        vm.prank(APP_GUARDIAN);
        app.setRequireTcbUpToDate(true);
        _same(_ask(record), "tcb_status_not_allowed: ConfigurationNeeded");
        vm.prank(APP_OWNER);
        app.setRequireTcbUpToDate(false);
        _same(_ask(record), "");
        vm.prank(GUARDIAN);
        kms.disallowTcbStatus(TcbStatus.ConfigurationNeeded);
        _same(_ask(record), "tcb_status_not_allowed: ConfigurationNeeded");
    }

    function test_os_image_restriction() public {
        vm.prank(APP_OWNER);
        app.addOsImageHash(OTHER);
        vm.assertTrue(app.osImagesRestricted(), "binding");
        string memory denial =
            "os_image_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000200";
        _same(_ask(_record()), denial);
        vm.prank(APP_GUARDIAN);
        app.removeOsImageHash(OTHER);
        _same(_ask(_record()), denial);
        vm.prank(APP_OWNER);
        app.addOsImageHash(IMAGE);
        _same(_ask(_record()), "");
        vm.prank(APP_OWNER);
        app.liftOsImageRestriction();
        vm.assertTrue(app.allowedOsImages(bytes32(uint256(1))), "lifted");
    }

    function test_an_app_cannot_allow_an_image_the_network_does_not() public {
        vm.prank(APP_OWNER);
        app.addOsImageHash(OTHER);
        BootRecord memory record = _record();
        record.info.osImageHash = OTHER;
        _same(
            _ask(record),
            "os_image_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000abc"
        );
    }

    function test_notice_period() public {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(WEEK);
        vm.expectEmit(address(app));
        emit IAppAuthBasicManagement.ComposeHashAdded(OTHER);
        vm.expectEmit(address(app));
        emit IAppAuthority.ComposeHashAnnounced(OTHER, uint64(START) + WEEK, 0);
        app.addComposeHash(OTHER);
        vm.stopPrank();
        BootRecord memory record = _record();
        _same(_ask(record), "");
        record.info.composeHash = OTHER;
        _same(_ask(record), "compose_hash_notice_until: 1800604800");
        vm.assertFalse(app.allowedComposeHashes(OTHER), "not yet");
        vm.warp(START + WEEK - 1);
        _same(_ask(record), "compose_hash_notice_until: 1800604800");
        vm.warp(START + WEEK);
        _same(_ask(record), "");
        vm.assertTrue(app.allowedComposeHashes(OTHER), "now");
    }

    function test_adding_again_neither_shortens_nor_restarts_the_notice() public {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(WEEK);
        app.addComposeHash(OTHER);
        vm.warp(START + 1 days);
        app.addComposeHash(OTHER);
        (, uint64 notBefore,) = app.composeHashGrant(OTHER);
        vm.assertEq(notBefore, START + WEEK, "as announced first");
        vm.stopPrank();
    }

    function test_removal_and_adding_again_starts_the_notice_anew() public {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(WEEK);
        app.removeComposeHash(COMPOSE);
        app.addComposeHash(COMPOSE);
        vm.stopPrank();
        _same(_ask(_record()), "compose_hash_notice_until: 1800604800");
    }

    function test_compose_hash_expires() public {
        vm.prank(APP_OWNER);
        app.addComposeHashUntil(OTHER, uint64(START + 10));
        BootRecord memory record = _record();
        record.info.composeHash = OTHER;
        _same(_ask(record), "");
        vm.warp(START + 10);
        _same(
            _ask(record),
            "expired: compose_hash 0x0000000000000000000000000000000000000000000000000000000000000abc at 1800000010"
        );
    }

    function test_prolonging_in_time_leaves_no_gap_and_too_late_waits() public {
        vm.startPrank(APP_OWNER);
        app.addComposeHashUntil(OTHER, uint64(START + 30 days));
        app.setNoticePeriod(WEEK);
        vm.warp(START + 20 days);
        app.addComposeHashUntil(OTHER, uint64(START + 40 days));
        vm.assertTrue(app.allowedComposeHashes(OTHER), "prolonged in time");
        vm.warp(START + 39 days);
        app.addComposeHash(OTHER);
        vm.assertFalse(app.allowedComposeHashes(OTHER), "prolonged too late");
        vm.warp(START + 39 days + WEEK);
        vm.assertTrue(app.allowedComposeHashes(OTHER), "after the notice");
        vm.stopPrank();
    }

    function test_expiry_must_lie_ahead() public {
        vm.prank(APP_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ExpiryInPast.selector, START - 1, START));
        app.addComposeHashUntil(OTHER, uint64(START - 1));
    }

    function test_notice_period_lengthens_at_once_and_shortens_after_itself() public {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(WEEK);
        vm.assertEq(app.noticePeriod(), WEEK, "longer at once");
        app.setNoticePeriod(1 days);
        vm.assertEq(app.noticePeriod(), WEEK, "shorter not yet");
        (uint64 period, uint64 effectiveAt) = app.pendingNoticePeriod();
        vm.assertTrue(period == 1 days && effectiveAt == START + WEEK, "announced");
        vm.warp(START + WEEK - 1);
        vm.assertEq(app.noticePeriod(), WEEK, "still not");
        vm.warp(START + WEEK);
        vm.assertEq(app.noticePeriod(), 1 days, "now");
        (, effectiveAt) = app.pendingNoticePeriod();
        vm.assertEq(effectiveAt, 0, "nothing pending");
        vm.stopPrank();
    }

    function test_lengthening_cancels_a_pending_shortening() public {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(WEEK);
        app.setNoticePeriod(0);
        app.setNoticePeriod(WEEK);
        vm.warp(START + 30 days);
        vm.assertEq(app.noticePeriod(), WEEK, "cancelled");
        vm.stopPrank();
    }

    function test_notice_period_is_bounded() public {
        vm.prank(APP_OWNER);
        vm.expectRevert(
            abi.encodeWithSelector(IAppAuthority.NoticePeriodTooLong.selector, 366 days, 365 days)
        );
        app.setNoticePeriod(366 days);
    }

    /// Whatever sequence of settings an owner tries, a hash is never allowed sooner than the period in force when it
    /// was added.
    function testFuzz_s2_no_sequence_shortens_the_notice(uint64[8] memory periods, uint32[8] memory waits)
        public
    {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(WEEK);
        app.addComposeHash(OTHER);
        uint256 time = START;
        for (uint256 i = 0; i < periods.length; ++i) {
            app.setNoticePeriod(uint64(_bound(periods[i], 0, 365 days)));
            app.addComposeHash(OTHER);
            time += _bound(waits[i], 0, 2 days);
            vm.warp(time);
            vm.assertTrue(time >= START + WEEK || !app.allowedComposeHashes(OTHER), "too early");
        }
        vm.stopPrank();
    }

    function test_zero_is_no_compose_hash_and_no_device() public {
        vm.startPrank(APP_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ZeroValue.selector));
        app.addComposeHash(0);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ZeroValue.selector));
        app.addDevice(0);
        vm.stopPrank();
    }

    function test_version() public view {
        vm.assertEq(app.version(), 3, "version");
    }
}
