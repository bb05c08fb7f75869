// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a contract is asked about one booted trust domain
/// @notice The only Solidity definition of the boot record. `kms-types` holds the Rust twin and a parity test in
/// the bindings compares the two field by field.

/// @notice The facts known to every contract version, in the order callers already encode.
struct AppBootInfo {
    /// @custom:field Address of the app's authority contract.
    address appId;
    /// @custom:field SHA-256 of the app's compose document.
    bytes32 composeHash;
    /// @custom:field Instance, or zero for an app without instance ids.
    address instanceId;
    /// @custom:field SHA-256 of the platform's PPID.
    bytes32 deviceId;
    /// @custom:field SHA-256 over MRTD and RTMR0..3.
    bytes32 mrAggregated;
    /// @custom:field SHA-256 over MRTD, RTMR0..2 and the key provider.
    bytes32 mrSystem;
    /// @custom:field The OS image.
    bytes32 osImageHash;
    /// @custom:field Intel's spelling of the TCB status.
    string tcbStatus;
    /// @custom:field Advisories that apply at that status.
    string[] advisoryIds;
}

/// @notice The extended record: everything a verified quote and event log say that policy may depend on.
struct BootRecord {
    AppBootInfo info;
    /// @custom:field SHA-256 of the DER SubjectPublicKeyInfo of the root the quote's certificates lead to.
    bytes32 attestationRoot;
    /// @custom:field TEE type of the quote header: 0x81 for TDX.
    uint32 teeType;
    /// @custom:field Measurement of the TDX module, 48 bytes.
    bytes mrSeam;
    /// @custom:field TEE_TCB_SVN byte 1.
    uint8 tdxModuleVersion;
    /// @custom:field TEE_TCB_SVN byte 0.
    uint8 tdxModuleSvn;
    /// @custom:field Platform family from the PCK certificate.
    bytes6 fmspc;
    /// @custom:field Lower of the evaluation data numbers of TCB info and QE identity.
    uint32 tcbEvaluationDataNumber;
    /// @custom:field Date of the matched TCB level, in Unix seconds.
    uint64 tcbDate;
    /// @custom:field SHA-256 of the key-provider event, or zero before it.
    bytes32 keyProviderHash;
    /// @custom:field Payload of the host-config event, or zero when absent.
    bytes32 hostConfigHash;
    /// @custom:field Key epoch that is asked for.
    uint32 keyEpoch;
}

/// @notice TCB statuses of Intel's PCS API v4 and of TDX 1.5 relaunch appraisal, by Intel's names.
enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    TDRelaunchAdvised,
    TDRelaunchAdvisedConfigurationNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    Revoked
}

/// @notice Lists of a network's TCB policy that bind from their first entry on.
enum PolicyList {
    MrSeam,
    Fmspc,
    Platform
}

/// @notice Public identity of the KMS in one key epoch.
struct KmsIdentity {
    /// @custom:field Compressed secp256k1 public key, 33 bytes.
    bytes k256Pubkey;
    /// @custom:field SHA-256 of the DER SubjectPublicKeyInfo of the KMS CA.
    bytes32 caSpkiHash;
    /// @custom:field X25519 public key for HPKE.
    bytes32 hpkeKey;
}

/// @notice What a KMS node reads of a network in every block.
struct NetworkState {
    bytes32[] attestationRoots;
    uint32 keyEpoch;
    uint32 minKeyEpoch;
    bool releasePaused;
    address kmsAppId;
    string gatewayAppId;
    uint32 minTcbEvaluationDataNumber;
    KmsIdentity identity;
}

/// @notice The scalar part of a network's TCB policy.
struct TcbPolicySummary {
    /// @custom:field Bit n stands for the n-th TcbStatus.
    uint16 allowedStatuses;
    uint32 minTcbEvaluationDataNumber;
    uint8 minTdxModuleSvn;
    uint16 gracePeriodDays;
    bool mrSeamsRestricted;
    bool fmspcsRestricted;
    bool platformsRestricted;
}
