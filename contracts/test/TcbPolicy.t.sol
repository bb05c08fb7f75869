// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BootRecord, PolicyList, TcbPolicySummary, TcbStatus} from "../src/BootRecord.sol";
import {IGoverned} from "../src/interfaces/IGoverned.sol";
import {ITcbPolicy} from "../src/interfaces/ITcbPolicy.sol";
import {Fixture} from "./Fixture.sol";

contract TcbPolicyTest is Fixture {
    function setUp() public {
        _deploy();
    }

    function test_the_fixture_is_allowed() public view {
        _same(_ask(_record()), "");
        _same(_askV1(_record().info), "");
    }

    function test_attestation_root() public {
        BootRecord memory record = _record();
        record.attestationRoot = bytes32(uint256(7));
        _same(
            _ask(record),
            "attestation_root_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000007"
        );
        vm.prank(OWNER);
        kms.addAttestationRoot(bytes32(uint256(7)));
        _same(_ask(record), "");
        vm.prank(OWNER);
        kms.addAttestationRoot(bytes32(uint256(7)));
        vm.assertEq(kms.attestationRoots().length, 2, "adding twice adds once");
        vm.startPrank(GUARDIAN);
        kms.removeAttestationRoot(ROOT);
        _same(_ask(record), "");
        kms.removeAttestationRoot(bytes32(uint256(7)));
        kms.removeAttestationRoot(bytes32(uint256(7)));
        vm.assertEq(kms.attestationRoots().length, 0, "no roots");
        vm.stopPrank();
    }

    function test_without_roots_nothing_is_allowed_for_either_version() public {
        vm.prank(GUARDIAN);
        kms.removeAttestationRoot(ROOT);
        BootRecord memory record = _record();
        record.attestationRoot = 0;
        _same(
            _ask(record),
            "attestation_root_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000000"
        );
        _same(_askV1(record.info), "attestation_root_not_allowed");
    }

    function test_a_zero_root_cannot_be_added() public {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.ZeroValue.selector));
        kms.addAttestationRoot(0);
    }

    function test_status_outside_the_set() public {
        BootRecord memory record = _record();
        record.info.tcbStatus = "ConfigurationNeeded";
        _same(_ask(record), "tcb_status_not_allowed: ConfigurationNeeded");
        _same(_askV1(record.info), "tcb_status_not_allowed: ConfigurationNeeded");
        vm.prank(OWNER);
        kms.allowTcbStatus(TcbStatus.ConfigurationNeeded);
        _same(_ask(record), "");
        vm.prank(GUARDIAN);
        kms.disallowTcbStatus(TcbStatus.ConfigurationNeeded);
        _same(_ask(record), "tcb_status_not_allowed: ConfigurationNeeded");
    }

    function test_unknown_status_is_refused() public view {
        BootRecord memory record = _record();
        record.info.tcbStatus = "uptodate";
        _same(_ask(record), "tcb_status_not_allowed: uptodate");
        record.info.tcbStatus = "";
        _same(_ask(record), "tcb_status_not_allowed: ");
    }

    function test_revoked_can_never_be_allowed() public {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(ITcbPolicy.TcbStatusNeverAllowed.selector, TcbStatus.Revoked));
        kms.allowTcbStatus(TcbStatus.Revoked);
        BootRecord memory record = _record();
        record.info.tcbStatus = "Revoked";
        _same(_ask(record), "tcb_status_not_allowed: Revoked");
    }

    function test_out_of_date_needs_status_and_grace() public {
        BootRecord memory record = _record();
        record.info.tcbStatus = "OutOfDate";
        record.tcbDate = uint64(START - 10 days);
        vm.prank(OWNER);
        kms.allowTcbStatus(TcbStatus.OutOfDate);
        _same(_ask(record), "tcb_grace_period_over: 1799136000");
        vm.prank(OWNER);
        kms.setGracePeriodDays(11);
        _same(_ask(record), "");
        vm.warp(START + 1 days - 1);
        _same(_ask(record), "");
        vm.warp(START + 1 days);
        _same(_ask(record), "tcb_grace_period_over: 1800086400");
        // Version 1 carries no date, so an out-of-date platform has no grace there.
        _same(_askV1(record.info), "tcb_grace_period_over: 950400");
    }

    function test_grace_cannot_overflow() public {
        BootRecord memory record = _record();
        record.info.tcbStatus = "OutOfDate";
        record.tcbDate = type(uint64).max;
        vm.startPrank(OWNER);
        kms.allowTcbStatus(TcbStatus.OutOfDate);
        kms.setGracePeriodDays(type(uint16).max);
        vm.stopPrank();
        _same(_ask(record), "");
    }

    function test_denied_advisory_at_any_status() public {
        BootRecord memory record = _record();
        record.info.advisoryIds = _advisories("INTEL-SA-00837");
        _same(_ask(record), "");
        vm.prank(GUARDIAN);
        kms.setAdvisoryDenied("INTEL-SA-00837", true);
        _same(_ask(record), "advisory_denied: INTEL-SA-00837");
        _same(_askV1(record.info), "advisory_denied: INTEL-SA-00837");
        vm.assertTrue(kms.deniedAdvisories("INTEL-SA-00837"), "denied");
        vm.prank(OWNER);
        kms.setAdvisoryDenied("INTEL-SA-00837", false);
        _same(_ask(record), "");
    }

    function test_advisory_below_up_to_date_must_be_accepted() public {
        BootRecord memory record = _record();
        record.info.tcbStatus = "SWHardeningNeeded";
        record.info.advisoryIds = _advisories("INTEL-SA-00615");
        vm.prank(OWNER);
        kms.allowTcbStatus(TcbStatus.SWHardeningNeeded);
        _same(_ask(record), "advisory_not_accepted: INTEL-SA-00615");
        vm.prank(OWNER);
        kms.setAdvisoryAccepted("INTEL-SA-00615", true);
        _same(_ask(record), "");
        vm.assertTrue(kms.acceptedAdvisories("INTEL-SA-00615"), "accepted");
        vm.prank(GUARDIAN);
        kms.setAdvisoryAccepted("INTEL-SA-00615", false);
        _same(_ask(record), "advisory_not_accepted: INTEL-SA-00615");
    }

    function test_evaluation_number() public {
        BootRecord memory record = _record();
        record.tcbEvaluationDataNumber = 15;
        _same(_ask(record), "tcb_evaluation_too_old: 15 < 17");
        vm.prank(GUARDIAN);
        kms.setMinTcbEvaluationDataNumber(18);
        _same(_ask(_record()), "tcb_evaluation_too_old: 17 < 18");
        vm.prank(OWNER);
        kms.setMinTcbEvaluationDataNumber(15);
        _same(_ask(record), "");
    }

    function test_module_svn() public {
        BootRecord memory record = _record();
        record.tdxModuleSvn = 6;
        _same(_ask(record), "tdx_module_svn_too_low: 6 < 11");
        vm.prank(OWNER);
        kms.setMinTdxModuleSvn(6);
        _same(_ask(record), "");
    }

    function test_mr_seam() public {
        vm.prank(OWNER);
        kms.addMrSeam(_seam(2));
        _same(
            _ask(_record()),
            "mr_seam_not_allowed: 0x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001"
        );
        vm.prank(OWNER);
        kms.addMrSeam(_seam(1));
        _same(_ask(_record()), "");
        vm.assertTrue(kms.allowedMrSeams(_seam(1)), "listed");
        vm.assertFalse(kms.allowedMrSeams(_seam(3)), "not listed");
    }

    function test_mr_seam_has_48_bytes() public {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(ITcbPolicy.WrongLength.selector, 32, 48));
        kms.addMrSeam(new bytes(32));
        BootRecord memory record = _record();
        record.mrSeam = new bytes(49);
        _same(_ask(record), "malformed_record: mrSeam length: 49");
    }

    function test_fmspc() public {
        vm.prank(OWNER);
        kms.addFmspc(0x010203040506);
        _same(_ask(_record()), "fmspc_not_allowed: 0x90c06f000000");
        vm.prank(OWNER);
        kms.addFmspc(FMSPC);
        _same(_ask(_record()), "");
        vm.prank(GUARDIAN);
        kms.removeFmspc(FMSPC);
        _same(_ask(_record()), "fmspc_not_allowed: 0x90c06f000000");
    }

    function test_platform() public {
        vm.prank(OWNER);
        kms.addPlatform(bytes32(uint256(1)));
        string memory denial =
            "device_not_allowed: 0x0000000000000000000000000000000000000000000000000000000000000400";
        _same(_ask(_record()), denial);
        _same(_askV1(_record().info), denial);
        vm.prank(OWNER);
        kms.addPlatform(DEVICE);
        _same(_ask(_record()), "");
        vm.assertTrue(kms.allowedPlatforms(DEVICE), "listed");
    }

    /// Removing the last entry of a list must not turn the list off.
    function test_s1_emptying_a_list_allows_nothing() public {
        vm.startPrank(OWNER);
        kms.addMrSeam(_seam(1));
        kms.addFmspc(FMSPC);
        kms.addPlatform(DEVICE);
        vm.stopPrank();
        _same(_ask(_record()), "");
        vm.startPrank(GUARDIAN);
        kms.removeFmspc(FMSPC);
        _same(_ask(_record()), "fmspc_not_allowed: 0x90c06f000000");
        kms.removeMrSeam(_seam(1));
        kms.removePlatform(DEVICE);
        vm.stopPrank();
        vm.assertFalse(kms.allowedFmspcs(FMSPC), "still binding");
        vm.assertFalse(kms.allowedMrSeams(_seam(1)), "still binding");
        vm.assertFalse(kms.allowedPlatforms(DEVICE), "still binding");
    }

    function test_only_the_owner_lifts_a_restriction() public {
        vm.prank(OWNER);
        kms.addFmspc(0x010203040506);
        vm.prank(GUARDIAN);
        vm.expectRevert();
        kms.liftRestriction(PolicyList.Fmspc);
        vm.startPrank(OWNER);
        kms.addMrSeam(_seam(9));
        kms.addPlatform(bytes32(uint256(9)));
        kms.liftRestriction(PolicyList.Fmspc);
        kms.liftRestriction(PolicyList.MrSeam);
        kms.liftRestriction(PolicyList.Platform);
        vm.stopPrank();
        _same(_ask(_record()), "");
    }

    function test_summary() public {
        vm.startPrank(OWNER);
        kms.allowTcbStatus(TcbStatus.OutOfDate);
        kms.setGracePeriodDays(3);
        kms.addFmspc(FMSPC);
        vm.stopPrank();
        TcbPolicySummary memory policy = kms.tcbPolicy();
        vm.assertEq(policy.allowedStatuses, 65, "UpToDate and OutOfDate");
        vm.assertEq(policy.gracePeriodDays, 3, "grace");
        vm.assertEq(policy.minTcbEvaluationDataNumber, EVALUATION, "evaluation");
        vm.assertEq(policy.minTdxModuleSvn, MODULE_SVN, "svn");
        vm.assertTrue(policy.fmspcsRestricted, "fmspc");
        vm.assertFalse(policy.mrSeamsRestricted, "seam");
        vm.assertFalse(policy.platformsRestricted, "platform");
    }

    function test_tee_type() public view {
        BootRecord memory record = _record();
        record.teeType = 0;
        _same(_ask(record), "tee_type_not_allowed: 0");
    }
}
