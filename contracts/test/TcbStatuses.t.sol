// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TcbStatus} from "../src/BootRecord.sol";
import {TcbStatuses} from "../src/TcbStatuses.sol";
import {Fixture} from "./Fixture.sol";

contract TcbStatusesTest is Fixture {
    string[9] private _names = [
        "UpToDate",
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "TDRelaunchAdvised",
        "TDRelaunchAdvisedConfigurationNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked"
    ];

    function parse(string calldata name) external pure returns (bool, TcbStatus) {
        return TcbStatuses.parse(name);
    }

    function test_every_name_is_its_status() public view {
        for (uint8 i = 0; i < _names.length; ++i) {
            (bool known, TcbStatus status) = this.parse(_names[i]);
            vm.assertTrue(known && uint8(status) == i, _names[i]);
            vm.assertEq(TcbStatuses.bit(status), uint256(1) << i, _names[i]);
            vm.assertTrue(TcbStatuses.outOfDate(status) == (i == 6 || i == 7), _names[i]);
        }
    }

    function testFuzz_no_other_text_is_a_status(string calldata name) public view {
        for (uint256 i = 0; i < _names.length; ++i) {
            vm.assume(keccak256(bytes(name)) != keccak256(bytes(_names[i])));
        }
        (bool known,) = this.parse(name);
        vm.assertFalse(known, name);
    }
}
