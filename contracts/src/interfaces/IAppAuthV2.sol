// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {BootRecord} from "../BootRecord.sol";

/// @title Boot permission, version 2
/// @notice As {IAppAuth}, on the extended record.
///
/// A denial is a stable code, then `": "` and the values that decided, if there are any:
///
/// | code | values |
/// |---|---|
/// | `releases_paused` | |
/// | `malformed_record` | field and length |
/// | `app_not_registered`, `app_not_deployed`, `app_authority_failed` | app id |
/// | `app_id_mismatch` | asked != answering |
/// | `app_denied` | the words of an authority without version 2 |
/// | `kms_app_not_set` | |
/// | `kms_app_mismatch` | asked != expected |
/// | `mr_aggregated_not_allowed` | measurement (version 1 of the KMS question) |
/// | `tee_type_not_allowed` | type |
/// | `attestation_root_not_allowed` | root, or nothing where no root is allowed at all |
/// | `tcb_status_not_allowed` | status |
/// | `tcb_grace_period_over` | time it ended |
/// | `advisory_denied`, `advisory_not_accepted` | advisory |
/// | `tcb_evaluation_too_old`, `tdx_module_svn_too_low`, `key_epoch_too_low` | actual < least |
/// | `key_epoch_unknown` | asked > newest |
/// | `mr_seam_not_allowed`, `fmspc_not_allowed`, `device_not_allowed` | value |
/// | `os_image_not_allowed`, `compose_hash_not_allowed` | hash |
/// | `compose_hash_notice_until` | time it takes effect |
/// | `expired` | what, hash, `at` time |
interface IAppAuthV2 is IERC165 {
    /// @notice Says whether the described trust domain may have the app's keys.
    /// @param record Facts established from a verified quote and event log by the caller.
    /// @return isAllowed Whether it may.
    /// @return reason Empty when allowed, else a denial as tabled above.
    function isAppAllowedV2(BootRecord calldata record)
        external
        view
        returns (bool isAllowed, string memory reason);
}
