// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {PolicyList, TcbStatus} from "../src/BootRecord.sol";
import {IAppAuthBasicManagement} from "../src/interfaces/IAppAuthBasicManagement.sol";
import {IAppAuthority} from "../src/interfaces/IAppAuthority.sol";
import {IGoverned} from "../src/interfaces/IGoverned.sol";
import {IKmsAuthority} from "../src/interfaces/IKmsAuthority.sol";
import {ITcbPolicy} from "../src/interfaces/ITcbPolicy.sol";
import {IOwned} from "./Contracts.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Who may call what. The bindings compare these lists with the ABI, so that no function escapes them.
contract GovernedTest is Fixture {
    bytes32 private constant H = bytes32(uint256(0x77));

    function setUp() public {
        _deploy();
    }

    function _refused(address target, address caller, bytes memory data, bytes4 expected) private {
        vm.prank(caller);
        (bool ok, bytes memory revertData) = target.call(data);
        vm.assertFalse(ok, "refused");
        vm.assertTrue(bytes4(revertData) == expected, "for who is asking");
    }

    function _ownerOnly(address target, address guardian, bytes memory data) private {
        bytes4 expected = OwnableUpgradeable.OwnableUnauthorizedAccount.selector;
        _refused(target, guardian, data, expected);
        _refused(target, STRANGER, data, expected);
    }

    function _restriction(address target, address guardian, bytes memory data) private {
        _refused(target, STRANGER, data, IGoverned.NotOwnerOrGuardian.selector);
        vm.prank(guardian);
        (bool ok,) = target.call(data);
        vm.assertTrue(ok, "the guardian restricts");
    }

    function test_s1_grants_of_the_network_are_the_owners() public {
        address k = address(kms);
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.addAttestationRoot, (H)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.allowTcbStatus, (TcbStatus.OutOfDate)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setAdvisoryDenied, ("A", false)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setAdvisoryAccepted, ("A", true)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setMinTcbEvaluationDataNumber, (EVALUATION - 1)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setMinTdxModuleSvn, (MODULE_SVN - 1)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setGracePeriodDays, (1)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.addMrSeam, (_seam(1))));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.addFmspc, (FMSPC)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.addPlatform, (H)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(ITcbPolicy.liftRestriction, (PolicyList.MrSeam)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.addOsImageHash, (H)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.addOsImageHashUntil, (H, uint64(START + 1))));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.addKmsAggregatedMr, (H)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.addKmsAggregatedMrUntil, (H, uint64(START + 1))));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.addKmsDevice, (H)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setGatewayAppId, ("x")));
        _ownerOnly(
            k, GUARDIAN, abi.encodeCall(IKmsAuthority.setKmsInfo, (IKmsAuthority.KmsInfo("", "", "", "")))
        );
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setKmsQuote, ("")));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setKmsEventlog, ("")));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setAppImplementation, (address(app))));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setKmsAppId, (address(app))));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.recordKeyEpoch, (2, _identity(2))));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setMinKeyEpoch, (0)));
        _ownerOnly(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setReleasePaused, (false)));
        _powers(k, GUARDIAN);
    }

    function test_s1_grants_of_an_app_are_the_owners() public {
        address a = address(app);
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthBasicManagement.addComposeHash, (H)));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.addComposeHashUntil, (H, uint64(START + 1))));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthBasicManagement.addDevice, (H)));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.setAllowAnyDevice, (true)));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.setRequireTcbUpToDate, (false)));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.addOsImageHash, (H)));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.liftOsImageRestriction, ()));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.setNoticePeriod, (1)));
        _ownerOnly(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.announceUpgrade, (address(1))));
        _powers(a, APP_GUARDIAN);
    }

    function _powers(address target, address guardian) private {
        _ownerOnly(target, guardian, abi.encodeCall(IGoverned.setGuardian, (guardian)));
        _ownerOnly(target, guardian, abi.encodeCall(IGoverned.disableUpgrades, ()));
        _ownerOnly(target, guardian, abi.encodeCall(IOwned.transferOwnership, (guardian)));
        _ownerOnly(target, guardian, abi.encodeCall(IOwned.acceptOwnership, ()));
        _ownerOnly(target, guardian, abi.encodeCall(IOwned.renounceOwnership, ()));
        _ownerOnly(target, guardian, abi.encodeCall(IOwned.upgradeToAndCall, (kms.appImplementation(), "")));
    }

    function test_s3_the_guardian_makes_every_restriction_of_a_network() public {
        address k = address(kms);
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.removeAttestationRoot, (ROOT)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.disallowTcbStatus, (TcbStatus.UpToDate)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setAdvisoryDenied, ("A", true)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setAdvisoryAccepted, ("A", false)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setMinTcbEvaluationDataNumber, (EVALUATION + 1)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setMinTdxModuleSvn, (MODULE_SVN + 1)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.setGracePeriodDays, (0)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.removeMrSeam, (_seam(1))));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.removeFmspc, (FMSPC)));
        _restriction(k, GUARDIAN, abi.encodeCall(ITcbPolicy.removePlatform, (DEVICE)));
        _restriction(k, GUARDIAN, abi.encodeCall(IKmsAuthority.unregisterApp, (address(app))));
        _restriction(k, GUARDIAN, abi.encodeCall(IKmsAuthority.removeOsImageHash, (IMAGE)));
        _restriction(k, GUARDIAN, abi.encodeCall(IKmsAuthority.removeKmsAggregatedMr, (MR_AGGREGATED)));
        _restriction(k, GUARDIAN, abi.encodeCall(IKmsAuthority.removeKmsDevice, (DEVICE)));
        _restriction(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setMinKeyEpoch, (1)));
        _restriction(k, GUARDIAN, abi.encodeCall(IKmsAuthority.setReleasePaused, (true)));
    }

    function test_s3_the_guardian_makes_every_restriction_of_an_app() public {
        address a = address(app);
        _restriction(a, APP_GUARDIAN, abi.encodeCall(IAppAuthBasicManagement.removeComposeHash, (COMPOSE)));
        _restriction(a, APP_GUARDIAN, abi.encodeCall(IAppAuthBasicManagement.removeDevice, (DEVICE)));
        _restriction(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.setAllowAnyDevice, (false)));
        _restriction(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.setRequireTcbUpToDate, (true)));
        _restriction(a, APP_GUARDIAN, abi.encodeCall(IAppAuthority.removeOsImageHash, (IMAGE)));
    }

    function test_ownership_cannot_be_given_up() public {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.RenounceRefused.selector));
        kms.renounceOwnership();
        vm.prank(APP_OWNER);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.RenounceRefused.selector));
        app.renounceOwnership();
    }

    function test_ownership_moves_in_two_steps() public {
        vm.prank(OWNER);
        kms.transferOwnership(STRANGER);
        vm.assertEq(kms.owner(), OWNER, "not before it is accepted");
        vm.prank(STRANGER);
        kms.acceptOwnership();
        vm.assertEq(kms.owner(), STRANGER, "accepted");
    }

    function test_a_dismissed_guardian_has_no_power() public {
        vm.prank(OWNER);
        kms.setGuardian(address(0));
        vm.assertEq(kms.guardian(), address(0), "none");
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotOwnerOrGuardian.selector, GUARDIAN));
        kms.setReleasePaused(true);
    }

    function test_interface_ids_are_the_deployed_ones() public view {
        bytes4[3] memory ids = [bytes4(0x1e079198), bytes4(0x8fd37527), bytes4(0x01ffc9a7)];
        for (uint256 i = 0; i < ids.length; ++i) {
            vm.assertTrue(app.supportsInterface(ids[i]), "app");
        }
        vm.assertTrue(kms.supportsInterface(ids[0]) && kms.supportsInterface(ids[2]), "network");
        vm.assertFalse(app.supportsInterface(0xffffffff), "ERC-165 forbids it");
        vm.assertFalse(kms.supportsInterface(0xffffffff), "ERC-165 forbids it");
    }
}
