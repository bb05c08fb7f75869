// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AppBootInfo, BootRecord} from "../src/BootRecord.sol";
import {IAppAuth} from "../src/interfaces/IAppAuth.sol";
import {IAppAuthV2} from "../src/interfaces/IAppAuthV2.sol";
import {Fixture} from "./Fixture.sol";

/// @notice An authority that knows version 1 only.
contract OldAuthority is IAppAuth {
    bool public answer;
    string public words;

    function set(bool answer_, string calldata words_) external {
        answer = answer_;
        words = words_;
    }

    function isAppAllowed(AppBootInfo calldata) external view returns (bool, string memory) {
        return (answer, words);
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IAppAuth).interfaceId || id == 0x01ffc9a7;
    }
}

/// @notice Answers every call with fixed bytes, or reverts, or never ends.
contract RawAuthority {
    bytes private _answer;
    uint8 private _mode;

    function set(uint8 mode, bytes calldata answer) external {
        _mode = mode;
        _answer = answer;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IAppAuthV2).interfaceId || id == 0x01ffc9a7;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        if (_mode == 1) revert("no");
        if (_mode == 2) while (true) {}
        return _answer;
    }
}

contract AuthorityCallTest is Fixture {
    string private constant FAILED = "app_authority_failed: 0x";

    OldAuthority private _old;
    RawAuthority private _raw;

    function setUp() public {
        _deploy();
        _old = new OldAuthority();
        _raw = new RawAuthority();
        kms.registerApp(address(_old));
        kms.registerApp(address(_raw));
    }

    function test_an_authority_of_version_1_is_asked_through_it() public {
        BootRecord memory record = _record();
        record.info.appId = address(_old);
        _old.set(true, "");
        _same(_ask(record), "");
        _old.set(false, "Compose hash not allowed");
        _same(_ask(record), "app_denied: Compose hash not allowed");
        _same(_askV1(record.info), "app_denied: Compose hash not allowed");
    }

    function test_its_words_do_not_pass_for_a_code() public {
        BootRecord memory record = _record();
        record.info.appId = address(_old);
        _old.set(false, "releases_paused");
        _same(_ask(record), "app_denied: releases_paused");
    }

    function test_s5_the_network_is_asked_before_a_lax_app() public {
        BootRecord memory record = _record();
        record.info.appId = address(_old);
        _old.set(true, "");
        record.tdxModuleSvn = 0;
        _same(_ask(record), "tdx_module_svn_too_low: 0 < 11");
    }

    function _denied(uint8 mode, bytes memory answer) private {
        _raw.set(mode, answer);
        BootRecord memory record = _record();
        record.info.appId = address(_raw);
        (bool ok, string memory reason) = kms.isAppAllowedV2{gas: 3_000_000}(record);
        vm.assertFalse(ok, "denied");
        vm.assertEq(bytes(reason).length, bytes(FAILED).length + 40, reason);
    }

    function test_reverting_and_endless_authorities_deny() public {
        _denied(1, "");
        _denied(2, "");
    }

    function test_malformed_answers_deny() public {
        _denied(0, "");
        _denied(0, abi.encode(true));
        _denied(0, abi.encode(uint256(2), uint256(64), uint256(0)));
        _denied(0, abi.encode(uint256(1), uint256(32), uint256(0)));
        _denied(0, abi.encode(uint256(1), uint256(64), uint256(1)));
        _denied(0, abi.encode(uint256(1), uint256(64), type(uint256).max));
        _denied(0, abi.encode(true, string(new bytes(1024))));
    }

    function test_a_well_formed_raw_answer_is_taken() public {
        _raw.set(0, abi.encode(true, ""));
        BootRecord memory record = _record();
        record.info.appId = address(_raw);
        _same(_ask(record), "");
        _raw.set(0, abi.encode(false, "because: x"));
        _same(_ask(record), "because: x");
    }

    function testFuzz_garbage_never_reverts_and_rarely_allows(bytes memory answer) public {
        _raw.set(0, answer);
        BootRecord memory record = _record();
        record.info.appId = address(_raw);
        (bool ok,) = kms.isAppAllowedV2(record);
        if (ok) vm.assertTrue(answer.length >= 96 && answer[31] == 0x01, "a true answer");
    }

    function test_a_denial_without_words_stays_a_denial() public {
        _raw.set(0, abi.encode(false, ""));
        BootRecord memory record = _record();
        record.info.appId = address(_raw);
        _same(_ask(record), "app_denied: ");
    }
}
