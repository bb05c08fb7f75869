// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAppAuth} from "../src/interfaces/IAppAuth.sol";
import {IAppAuthBasicManagement} from "../src/interfaces/IAppAuthBasicManagement.sol";
import {IAppAuthV2} from "../src/interfaces/IAppAuthV2.sol";
import {IAppAuthority} from "../src/interfaces/IAppAuthority.sol";
import {IGoverned} from "../src/interfaces/IGoverned.sol";
import {IKmsAuthority} from "../src/interfaces/IKmsAuthority.sol";
import {ITcbPolicy} from "../src/interfaces/ITcbPolicy.sol";

/// @notice What the tests call of the ownership and upgrade functions.
interface IOwned {
    function owner() external view returns (address);
    function pendingOwner() external view returns (address);
    function transferOwnership(address newOwner) external;
    function acceptOwnership() external;
    function renounceOwnership() external;
    function upgradeToAndCall(address implementation, bytes calldata data) external payable;
}

/// @notice The whole surface of a KmsAuthority. Tests know it by its interfaces only, so they need not be compiled
/// with its settings and run the very bytecode that is deployed.
interface Kms is IKmsAuthority, ITcbPolicy, IGoverned, IAppAuth, IAppAuthV2, IOwned {}

/// @notice The whole surface of an AppAuthority.
interface App is IAppAuthority, IAppAuthBasicManagement, IGoverned, IAppAuth, IAppAuthV2, IOwned {}
