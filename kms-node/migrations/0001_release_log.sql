-- The release log and the height floor. TEXT holds lower-case hex, so that one file serves SQLite and PostgreSQL.
CREATE TABLE log_entries (
    position BIGINT NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL,
    leaf TEXT NOT NULL
);
CREATE INDEX log_entries_of_app ON log_entries (app_id, position);
-- Complete subtrees above the leaves: level 1 covers two leaves, level 2 four.
CREATE TABLE log_nodes (
    level BIGINT NOT NULL,
    position BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (level, position)
);
-- One row; whoever updates it first in a transaction appends next.
CREATE TABLE log_head (
    id BIGINT NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL,
    size BIGINT NOT NULL,
    root TEXT NOT NULL,
    signed_at BIGINT NOT NULL,
    signature TEXT NOT NULL
);
INSERT INTO log_head (id, turn, size, root, signed_at, signature) VALUES (1, 0, 0, '', 0, '');
CREATE TABLE chain_floor (
    chain_id BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL
);
-- Highest TCB evaluation data number seen per platform family; lower collateral is refused.
CREATE TABLE collateral_floor (
    fmspc TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
