// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyList, TcbPolicySummary, TcbStatus} from "../BootRecord.sol";

/// @title The platform policy every app of a network is under
/// @notice A list called "restricted" is binding. It becomes so with its first entry and stays so when emptied: a
/// removal must never allow more. Only the owner can lift a restriction.
interface ITcbPolicy {
    /// @notice An attestation root was allowed.
    event AttestationRootAdded(bytes32 indexed root);
    /// @notice An attestation root was forbidden.
    event AttestationRootRemoved(bytes32 indexed root);
    /// @notice A TCB status was allowed.
    event TcbStatusAllowed(TcbStatus indexed status);
    /// @notice A TCB status was forbidden.
    event TcbStatusDisallowed(TcbStatus indexed status);
    /// @notice Whether platforms under this advisory are refused whatever their status.
    event AdvisoryDenied(string advisoryId, bool denied);
    /// @notice Whether this advisory is tolerated on a platform that is not `UpToDate`.
    event AdvisoryAccepted(string advisoryId, bool accepted);
    /// @notice The least evaluation data number changed.
    event MinTcbEvaluationDataNumberSet(uint32 number);
    /// @notice The least security version of the TDX module changed.
    event MinTdxModuleSvnSet(uint8 svn);
    /// @notice The grace period changed.
    event GracePeriodDaysSet(uint16 numberOfDays);
    /// @notice A TDX module was allowed.
    event MrSeamAdded(bytes mrSeam);
    /// @notice A TDX module was forbidden.
    event MrSeamRemoved(bytes mrSeam);
    /// @notice A platform family was allowed.
    event FmspcAdded(bytes6 indexed fmspc);
    /// @notice A platform family was forbidden.
    event FmspcRemoved(bytes6 indexed fmspc);
    /// @notice A platform was allowed.
    event PlatformAdded(bytes32 indexed deviceId);
    /// @notice A platform was forbidden.
    event PlatformRemoved(bytes32 indexed deviceId);
    /// @notice The list no longer binds: every value is accepted again.
    event RestrictionLifted(PolicyList indexed list);

    /// @notice `Revoked` cannot be allowed.
    error TcbStatusNeverAllowed(TcbStatus status);
    /// @notice A measurement has the wrong length.
    error WrongLength(uint256 actual, uint256 expected);

    /// @notice Allows an attestation root by the SHA-256 of its public key in DER. Owner only.
    function addAttestationRoot(bytes32 root) external;
    /// @notice Forbids an attestation root. Without any, nothing is allowed.
    function removeAttestationRoot(bytes32 root) external;
    /// @notice Allows a TCB status. Owner only.
    function allowTcbStatus(TcbStatus status) external;
    /// @notice Forbids a TCB status.
    function disallowTcbStatus(TcbStatus status) external;
    /// @notice Refuses platforms under an advisory (owner or guardian), or no longer (owner).
    function setAdvisoryDenied(string calldata advisoryId, bool denied) external;
    /// @notice Tolerates an advisory on platforms that are not `UpToDate` (owner), or no longer (owner or guardian).
    function setAdvisoryAccepted(string calldata advisoryId, bool accepted) external;
    /// @notice Sets the least evaluation data number; lowering it is the owner's.
    function setMinTcbEvaluationDataNumber(uint32 number) external;
    /// @notice Sets the least security version of the TDX module; lowering it is the owner's.
    function setMinTdxModuleSvn(uint8 svn) external;
    /// @notice Sets for how many days after the date of its TCB level an out-of-date platform is still accepted,
    /// where its status is allowed at all; lengthening is the owner's. Zero accepts none.
    function setGracePeriodDays(uint16 numberOfDays) external;
    /// @notice Adds a TDX module measurement to the list. Owner only.
    function addMrSeam(bytes calldata mrSeam) external;
    /// @notice Removes a TDX module measurement from the list.
    function removeMrSeam(bytes calldata mrSeam) external;
    /// @notice Adds a platform family to the list. Owner only.
    function addFmspc(bytes6 fmspc) external;
    /// @notice Removes a platform family from the list.
    function removeFmspc(bytes6 fmspc) external;
    /// @notice Adds a platform to the list. Owner only.
    function addPlatform(bytes32 deviceId) external;
    /// @notice Removes a platform from the list.
    function removePlatform(bytes32 deviceId) external;

    /// @notice Accepts every value again; entries are kept for when the list binds anew. Owner only.
    function liftRestriction(PolicyList list) external;

    /// @notice The allowed attestation roots.
    function attestationRoots() external view returns (bytes32[] memory);
    /// @notice Scalars of the policy.
    function tcbPolicy() external view returns (TcbPolicySummary memory);
    /// @notice Whether platforms under this advisory are refused.
    function deniedAdvisories(string calldata advisoryId) external view returns (bool);
    /// @notice Whether this advisory is tolerated on a platform that is not `UpToDate`.
    function acceptedAdvisories(string calldata advisoryId) external view returns (bool);
    /// @notice Whether the list lets the TDX module pass.
    function allowedMrSeams(bytes calldata mrSeam) external view returns (bool);
    /// @notice Whether the list lets the platform family pass.
    function allowedFmspcs(bytes6 fmspc) external view returns (bool);
    /// @notice Whether the list lets the platform pass.
    function allowedPlatforms(bytes32 deviceId) external view returns (bool);
}
