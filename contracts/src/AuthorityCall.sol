// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC165Checker} from "@openzeppelin/contracts/utils/introspection/ERC165Checker.sol";
import {AppBootInfo, BootRecord} from "./BootRecord.sol";
import {Denial} from "./Denial.sol";
import {IAppAuth} from "./interfaces/IAppAuth.sol";
import {IAppAuthV2} from "./interfaces/IAppAuthV2.sol";

/// @title Asking an app's own authority, which may be any code
/// @notice Whatever it does (revert, loop, answer garbage) comes out as a denial of this one app.
library AuthorityCall {
    uint256 private constant MAX_ANSWER = 1024;

    /// @notice Asks through version 1.
    function ask(AppBootInfo calldata info) internal view returns (bool, string memory) {
        return _ask(info.appId, abi.encodeCall(IAppAuth.isAppAllowed, (info)), _speaksV2(info.appId));
    }

    /// @notice Asks through version 2, or version 1 of a contract that lacks it.
    /// @param record The record, which must be the only argument of the present call.
    function ask(BootRecord calldata record) internal view returns (bool, string memory) {
        if (!_speaksV2(record.info.appId)) return ask(record.info);
        // The record is passed on as it came; encoding it again would be a second reading of the same bytes.
        bytes memory question = bytes.concat(IAppAuthV2.isAppAllowedV2.selector, msg.data[4:]);
        return _ask(record.info.appId, question, true);
    }

    function _ask(address app, bytes memory question, bool knowsCodes)
        private
        view
        returns (bool, string memory)
    {
        (bool success, bytes memory answer) = app.staticcall(question);
        if (!success || !_wellFormed(answer)) return Denial.account("app_authority_failed", app);
        (bool isAllowed, string memory reason) = abi.decode(answer, (bool, string));
        if (isAllowed) return (true, "");
        // Words of a contract that does not know the codes must not pass for one of them.
        if (!knowsCodes || bytes(reason).length == 0) return Denial.text("app_denied", reason);
        return (false, reason);
    }

    function _speaksV2(address app) private view returns (bool) {
        return ERC165Checker.supportsInterface(app, type(IAppAuthV2).interfaceId);
    }

    /// @dev abi.decode reverts on a malformed answer, and a revert here would look like a fault of the network.
    function _wellFormed(bytes memory answer) private pure returns (bool) {
        if (answer.length < 96 || answer.length > MAX_ANSWER) return false;
        (uint256 flag, uint256 offset, uint256 length) = abi.decode(answer, (uint256, uint256, uint256));
        return flag <= 1 && offset == 64 && length <= answer.length - 96;
    }
}
