// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {IAppAuthority} from "../src/interfaces/IAppAuthority.sol";
import {IGoverned} from "../src/interfaces/IGoverned.sol";
import {IKmsAuthority} from "../src/interfaces/IKmsAuthority.sol";
import {IOwned} from "./Contracts.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Upgrades, behind a real timelock and behind a notice period.
contract UpgradeTest is Fixture {
    uint256 private constant DELAY = 3 days;
    address private constant PROPOSER = address(0xF0);

    TimelockController private _timelock;
    address private _newKms;
    address private _newApp;

    function setUp() public {
        _deploy();
        address[] memory one = new address[](1);
        one[0] = PROPOSER;
        _timelock = new TimelockController(DELAY, one, one, address(0));
        _newKms = _create("KmsAuthority.sol:KmsAuthority");
        _newApp = _create("AppAuthority.sol:AppAuthority");
        vm.prank(OWNER);
        kms.transferOwnership(address(_timelock));
        _schedule(abi.encodeCall(IOwned.acceptOwnership, ()));
        vm.warp(block.timestamp + DELAY);
        _execute(abi.encodeCall(IOwned.acceptOwnership, ()));
        vm.assertEq(kms.owner(), address(_timelock), "the timelock owns the network");
    }

    function _schedule(bytes memory data) private {
        vm.prank(PROPOSER);
        _timelock.schedule(address(kms), 0, data, 0, 0, DELAY);
    }

    function _execute(bytes memory data) private {
        vm.prank(PROPOSER);
        _timelock.execute(address(kms), 0, data, 0, 0);
    }

    function test_s2_an_upgrade_waits_for_the_timelock() public {
        bytes memory upgrade = abi.encodeCall(IOwned.upgradeToAndCall, (_newKms, ""));
        address[4] memory callers = [PROPOSER, OWNER, GUARDIAN, STRANGER];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(
                abi.encodeWithSelector(OwnableUpgradeable.OwnableUnauthorizedAccount.selector, callers[i])
            );
            kms.upgradeToAndCall(_newKms, "");
        }
        vm.prank(PROPOSER);
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, DELAY - 1, DELAY)
        );
        _timelock.schedule(address(kms), 0, upgrade, 0, 0, DELAY - 1);
        _schedule(upgrade);
        vm.warp(block.timestamp + DELAY - 1);
        vm.prank(PROPOSER);
        vm.expectRevert();
        _timelock.execute(address(kms), 0, upgrade, 0, 0);
        vm.warp(block.timestamp + 1);
        _execute(upgrade);
        _same(_ask(_record()), "");
        vm.assertEq(kms.keyEpoch(), 1, "state survives");
    }

    function test_s2_a_grant_waits_too_but_a_restriction_does_not() public {
        bytes memory grant = abi.encodeCall(IKmsAuthority.addOsImageHash, (bytes32(uint256(1))));
        _schedule(grant);
        vm.prank(PROPOSER);
        vm.expectRevert();
        _timelock.execute(address(kms), 0, grant, 0, 0);
        vm.prank(GUARDIAN);
        kms.removeOsImageHash(IMAGE);
        vm.assertTrue(bytes(_ask(_record())).length != 0, "S3: denied in the same block");
    }

    function test_s2_the_implementation_itself_cannot_be_upgraded_or_taken() public {
        vm.expectRevert();
        IOwned(_newKms).upgradeToAndCall(_newKms, "");
        vm.assertEq(IOwned(_newKms).owner(), address(0), "nobody's");
    }

    function test_disabled_upgrades_stay_disabled() public {
        vm.startPrank(APP_OWNER);
        app.disableUpgrades();
        vm.assertTrue(app.upgradesDisabled(), "disabled");
        vm.expectRevert(abi.encodeWithSelector(IGoverned.UpgradesAreDisabled.selector));
        app.upgradeToAndCall(_newApp, "");
        vm.stopPrank();
    }

    function test_an_app_without_notice_period_upgrades_at_once() public {
        vm.prank(APP_OWNER);
        app.upgradeToAndCall(_newApp, "");
        _same(_ask(_record()), "");
    }

    function test_s2_an_app_upgrade_waits_for_the_notice_period() public {
        vm.startPrank(APP_OWNER);
        app.setNoticePeriod(7 days);
        vm.expectRevert(abi.encodeWithSelector(IAppAuthority.UpgradeNotAnnounced.selector, _newApp));
        app.upgradeToAndCall(_newApp, "");
        app.announceUpgrade(_newApp);
        (address announced, uint64 notBefore) = app.announcedUpgrade();
        vm.assertTrue(announced == _newApp && notBefore == block.timestamp + 7 days, "announced");
        vm.expectRevert(
            abi.encodeWithSelector(IAppAuthority.UpgradeNoticeRunning.selector, _newApp, notBefore)
        );
        app.upgradeToAndCall(_newApp, "");
        vm.warp(notBefore);
        vm.expectRevert(abi.encodeWithSelector(IAppAuthority.UpgradeNotAnnounced.selector, _newKms));
        app.upgradeToAndCall(_newKms, "");
        app.upgradeToAndCall(_newApp, "");
        // One announcement serves one upgrade.
        vm.expectRevert(abi.encodeWithSelector(IAppAuthority.UpgradeNotAnnounced.selector, _newApp));
        app.upgradeToAndCall(_newApp, "");
        vm.stopPrank();
        _same(_ask(_record()), "");
        vm.assertEq(app.noticePeriod(), 7 days, "state survives");
    }

    function test_s2_an_early_announcement_does_not_escape_a_later_longer_period() public {
        vm.startPrank(APP_OWNER);
        app.announceUpgrade(_newApp);
        app.setNoticePeriod(7 days);
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAppAuthority.UpgradeNoticeRunning.selector, _newApp, block.timestamp + 6 days
            )
        );
        app.upgradeToAndCall(_newApp, "");
        app.announceUpgrade(address(0));
        (address announced,) = app.announcedUpgrade();
        vm.assertEq(announced, address(0), "withdrawn");
        vm.stopPrank();
    }
}
