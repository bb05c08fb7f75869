// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AllowList, AllowLists, Grant, Grants} from "../src/Grants.sol";
import {Fixture} from "./Fixture.sol";

contract GrantsTest is Fixture {
    using Grants for Grant;
    using AllowLists for AllowList;

    Grant private _grant;
    AllowList private _list;

    function testFuzz_state_at_a_time(bool given, uint64 notBefore, uint64 validUntil, uint64 time) public {
        vm.warp(time);
        _grant = Grant({given: given, notBefore: notBefore, validUntil: validUntil});
        bool active = given && time >= notBefore && (validUntil == 0 || time < validUntil);
        vm.assertTrue(_grant.active() == active, "active within its time only");
        vm.assertTrue((_grant.state() == Grants.State.Missing) == !given, "missing");
    }

    function test_a_grant_that_ran_out_before_it_began_is_expired() public {
        vm.warp(10);
        _grant = Grant({given: true, notBefore: 20, validUntil: 5});
        vm.assertTrue(_grant.state() == Grants.State.Expired, "expired");
    }

    function testFuzz_a_list_binds_from_its_first_entry_for_good(bytes32 a, bytes32 b) public {
        vm.assume(a != b);
        vm.assertTrue(_list.permits(a) && _list.permits(b), "not used yet");
        _list.add(a);
        vm.assertTrue(_list.permits(a) && !_list.permits(b), "binding");
        _list.remove(a);
        vm.assertFalse(_list.permits(a) || _list.permits(b), "empty and still binding");
    }
}
