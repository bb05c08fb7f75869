// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {AppAuthority} from "../src/AppAuthority.sol";
import {AllowList, AllowLists, Grant, Grants} from "../src/Grants.sol";
import {Vm} from "../test/Vm.sol";

/// @notice Rules shown for every argument at once by symbolic execution (halmos); see tools/symbolic.
contract RulesTest {
    using AllowLists for AllowList;
    using Grants for Grant;

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant START = 1_800_000_000;
    address private constant OWNER = address(0xD0);
    bytes32 private constant DEVICE = bytes32(uint256(1));
    bytes32 private constant COMPOSE = bytes32(uint256(2));

    AppAuthority private _app;
    Grant private _grant;
    AllowList private _list;

    function setUp() public {
        bytes memory call = abi.encodeWithSignature(
            "initialize(address,bool,bool,bytes32,bytes32)", OWNER, false, false, DEVICE, COMPOSE
        );
        _app = AppAuthority(address(new ERC1967Proxy(address(new AppAuthority()), call)));
    }

    function check_s5_a_grant_holds_within_its_time_only(bool given, uint64 from, uint64 to, uint64 time)
        public
    {
        vm.warp(time);
        _grant = Grant({given: given, notBefore: from, validUntil: to});
        assert(_grant.active() == (given && time >= from && (to == 0 || time < to)));
    }

    function check_s1_removing_from_a_list_allows_nothing(bytes32 added, bytes32 removed, bytes32 asked)
        public
    {
        _list.add(added);
        bool before = _list.permits(asked);
        _list.remove(removed);
        assert(before || !_list.permits(asked));
    }

    function check_s1_nobody_but_the_owner_grants(address caller, bytes32 hash) public {
        vm.assume(caller != OWNER && hash != COMPOSE);
        vm.prank(caller);
        (bool ok,) = address(_app).call(abi.encodeCall(_app.addComposeHash, (hash)));
        assert(!ok && !_app.allowedComposeHashes(hash));
    }

    function check_s2_no_second_setting_shortens_the_notice(
        uint64 first,
        uint64 second,
        uint32 wait,
        bytes32 hash
    ) public {
        vm.assume(hash != 0 && hash != COMPOSE && first <= 365 days && second <= 365 days);
        vm.warp(START);
        vm.startPrank(OWNER);
        _app.setNoticePeriod(first);
        _app.addComposeHash(hash);
        _app.setNoticePeriod(second);
        vm.warp(START + wait);
        _app.addComposeHash(hash);
        vm.stopPrank();
        assert(wait >= first || !_app.allowedComposeHashes(hash));
    }
}
