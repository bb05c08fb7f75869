// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What an AppAuthority offers beyond {IAppAuth}, {IAppAuthV2} and {IAppAuthBasicManagement}
/// @notice With a notice period above zero a compose hash, and a new implementation, take effect only after it, so
/// users can leave first. It can be lengthened at once and shortened only after itself.
interface IAppAuthority {
    /// @notice Any device may boot the app, or only listed ones.
    event AllowAnyDeviceSet(bool allowAny);
    /// @notice Only TCB status `UpToDate` is accepted, or whatever the network accepts.
    event RequireTcbUpToDateSet(bool requireUpToDate);
    /// @notice A compose hash will be allowed from `notBefore` until `validUntil` (0: without end).
    event ComposeHashAnnounced(bytes32 indexed composeHash, uint64 notBefore, uint64 validUntil);
    /// @notice The notice period changes to `period` at `effectiveAt`.
    event NoticePeriodSet(uint64 period, uint64 effectiveAt);
    /// @notice The implementation may be replaced by this one from `notBefore` on.
    event UpgradeAnnounced(address indexed implementation, uint64 notBefore);
    /// @notice An OS image was put on the app's own list.
    event OsImageHashAdded(bytes32 osImageHash);
    /// @notice An OS image was taken off the app's own list.
    event OsImageHashRemoved(bytes32 osImageHash);
    /// @notice The app accepts every OS image of the network again.
    event OsImageRestrictionLifted();

    /// @notice A notice period longer than the limit would lock the owner out of every update.
    error NoticePeriodTooLong(uint64 period, uint64 limit);
    /// @notice The implementation was not announced.
    error UpgradeNotAnnounced(address implementation);
    /// @notice The announced implementation may be used from `notBefore` on.
    error UpgradeNoticeRunning(address implementation, uint64 notBefore);

    /// @notice Initialises a proxy; TCB status is left to the network's policy.
    /// @param initialOwner Owner of the app.
    /// @param disableUpgrades_ Locks the implementation from the start.
    /// @param allowAnyDevice_ Whether unlisted devices may boot the app.
    /// @param initialDeviceId First device, or zero for none.
    /// @param initialComposeHash First compose hash, or zero for none.
    function initialize(
        address initialOwner,
        bool disableUpgrades_,
        bool allowAnyDevice_,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) external;
    /// @notice Initialises a proxy.
    /// @param initialOwner Owner of the app.
    /// @param disableUpgrades_ Locks the implementation from the start.
    /// @param requireTcbUpToDate_ Whether only TCB status `UpToDate` is accepted.
    /// @param allowAnyDevice_ Whether unlisted devices may boot the app.
    /// @param initialDeviceId First device, or zero for none.
    /// @param initialComposeHash First compose hash, or zero for none.
    function initialize(
        address initialOwner,
        bool disableUpgrades_,
        bool requireTcbUpToDate_,
        bool allowAnyDevice_,
        bytes32 initialDeviceId,
        bytes32 initialComposeHash
    ) external;

    /// @notice Allows a compose hash, after the notice period, until a time.
    /// @dev Extending a running grant goes on without a gap if it is asked for a notice period before its end.
    /// @param composeHash SHA-256 of the compose document.
    /// @param validUntil First second at which it is no longer allowed.
    function addComposeHashUntil(bytes32 composeHash, uint64 validUntil) external;
    /// @notice Accepts unlisted devices (owner), or stops doing so (owner or guardian).
    function setAllowAnyDevice(bool allowAny) external;
    /// @notice Demands TCB status `UpToDate` (owner or guardian), or leaves the status to the network (owner).
    function setRequireTcbUpToDate(bool requireUpToDate) external;
    /// @notice Adds to the app's own list of OS images; the first entry makes the list binding. Owner only.
    function addOsImageHash(bytes32 osImageHash) external;
    /// @notice Removes from the app's own list of OS images, which stays binding even when empty.
    function removeOsImageHash(bytes32 osImageHash) external;
    /// @notice Accepts every OS image of the network again. Owner only.
    function liftOsImageRestriction() external;
    /// @notice Changes the notice period: longer at once, shorter after the present period. Owner only.
    /// @param period Seconds.
    function setNoticePeriod(uint64 period) external;
    /// @notice Announces the implementation of the next upgrade; zero withdraws the announcement. Owner only.
    function announceUpgrade(address implementation) external;

    /// @notice Whether the compose hash is allowed now.
    function allowedComposeHashes(bytes32 composeHash) external view returns (bool);
    /// @notice A compose hash's grant; `validUntil` 0 has no end.
    function composeHashGrant(bytes32 composeHash)
        external
        view
        returns (bool given, uint64 notBefore, uint64 validUntil);
    /// @notice Whether the device is listed.
    function allowedDeviceIds(bytes32 deviceId) external view returns (bool);
    /// @notice Whether unlisted devices may boot the app.
    function allowAnyDevice() external view returns (bool);
    /// @notice Whether only TCB status `UpToDate` is accepted.
    function requireTcbUpToDate() external view returns (bool);
    /// @notice Whether the app's own list lets the OS image pass.
    function allowedOsImages(bytes32 osImageHash) external view returns (bool);
    /// @notice Whether the app has a binding list of OS images.
    function osImagesRestricted() external view returns (bool);
    /// @notice The notice period in force, in seconds.
    function noticePeriod() external view returns (uint64);
    /// @notice An announced shortening; `effectiveAt` 0 means there is none.
    function pendingNoticePeriod() external view returns (uint64 period, uint64 effectiveAt);
    /// @notice The announced implementation and the time from which it may be used.
    function announcedUpgrade() external view returns (address implementation, uint64 notBefore);
    /// @notice Version of the contract's state and ABI.
    function version() external view returns (uint256);
}
