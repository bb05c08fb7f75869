// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Permission for one measurement, with an optional beginning and end.
struct Grant {
    bool given;
    uint64 notBefore;
    // First second at which the grant no longer holds; 0 for no end.
    uint64 validUntil;
}

/// @title Reading a grant at a time
library Grants {
    enum State {
        Missing,
        Pending,
        Expired,
        Active
    }

    /// @notice Where the grant stands at the time of the block.
    function state(Grant storage grant) internal view returns (State) {
        if (!grant.given) return State.Missing;
        // Expiry is looked at first: a grant that ran out before it began must not be reported as about to begin.
        if (grant.validUntil != 0 && block.timestamp >= grant.validUntil) return State.Expired;
        if (block.timestamp < grant.notBefore) return State.Pending;
        return State.Active;
    }

    /// @notice Whether the grant holds at the time of the block.
    function active(Grant storage grant) internal view returns (bool) {
        return state(grant) == State.Active;
    }
}

/// @notice A list that binds from its first entry on.
/// @dev `restricted` is not "has entries": removing the last entry would otherwise allow everything.
struct AllowList {
    bool restricted;
    mapping(bytes32 entry => bool) entries;
}

/// @title Lists that bind only where they are used
library AllowLists {
    /// @notice Adds an entry and makes the list binding.
    function add(AllowList storage list, bytes32 entry) internal {
        list.restricted = true;
        list.entries[entry] = true;
    }

    /// @notice Removes an entry; the list stays as binding as it was.
    function remove(AllowList storage list, bytes32 entry) internal {
        list.entries[entry] = false;
    }

    /// @notice Whether the list lets the entry pass.
    function permits(AllowList storage list, bytes32 entry) internal view returns (bool) {
        return !list.restricted || list.entries[entry];
    }
}
