// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Denial} from "../src/Denial.sol";
import {Fixture} from "./Fixture.sol";

contract DenialTest is Fixture {
    function _is(bool ok, string memory reason, string memory expected) private pure {
        vm.assertFalse(ok, "a denial");
        vm.assertEq(reason, expected, "words");
    }

    function test_words() public pure {
        (bool ok, string memory reason) = Denial.text("code", "value");
        _is(ok, reason, "code: value");
        (ok, reason) = Denial.number("code", 0);
        _is(ok, reason, "code: 0");
        (ok, reason) = Denial.below("code", 6, 11);
        _is(ok, reason, "code: 6 < 11");
        (ok, reason) = Denial.above("code", 3, 2);
        _is(ok, reason, "code: 3 > 2");
        (ok, reason) = Denial.account("code", address(0xAbCd));
        _is(ok, reason, "code: 0x000000000000000000000000000000000000abcd");
        (ok, reason) = Denial.mismatch("code", address(1), address(2));
        _is(
            ok,
            reason,
            "code: 0x0000000000000000000000000000000000000001 != 0x0000000000000000000000000000000000000002"
        );
        (ok, reason) = Denial.data("code", hex"00ff");
        _is(ok, reason, "code: 0x00ff");
        (ok, reason) = Denial.hash("code", bytes32(uint256(0xa)));
        _is(ok, reason, "code: 0x000000000000000000000000000000000000000000000000000000000000000a");
        (ok, reason) = Denial.expired("what", bytes32(0), 7);
        _is(
            ok,
            reason,
            "expired: what 0x0000000000000000000000000000000000000000000000000000000000000000 at 7"
        );
    }
}
