-- Decisions and what proves them. TEXT holds lower-case hex or JSON, so that one file serves SQLite and PostgreSQL.
CREATE TABLE decision (
    id BIGINT NOT NULL PRIMARY KEY,
    chain_id BIGINT NOT NULL,
    contract TEXT NOT NULL,
    subject TEXT NOT NULL,
    app TEXT NOT NULL,
    record_hash TEXT NOT NULL,
    allowed BIGINT NOT NULL,
    reason TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    head_number BIGINT NOT NULL,
    head_hash TEXT NOT NULL,
    finalized_number BIGINT NOT NULL,
    finalized_hash TEXT NOT NULL,
    time BIGINT NOT NULL,
    -- 0 its head is not final yet, 1 its head became final, 2 another block did.
    standing BIGINT NOT NULL,
    -- The evidence without links, nodes and codes; empty when none was kept, then missing says why.
    file TEXT NOT NULL,
    nodes TEXT NOT NULL,
    codes TEXT NOT NULL,
    missing TEXT NOT NULL
);
CREATE UNIQUE INDEX decision_once
    ON decision (chain_id, contract, subject, record_hash, head_hash, finalized_hash);
CREATE INDEX decision_of_app ON decision (chain_id, contract, app, id);
CREATE INDEX decision_standing ON decision (chain_id, contract, standing, head_number);
-- Trie nodes, code and headers by their hash. last is the newest decision that needs the part.
CREATE TABLE decision_part (
    hash TEXT NOT NULL PRIMARY KEY,
    bytes TEXT NOT NULL,
    last BIGINT NOT NULL
);
CREATE INDEX decision_part_last ON decision_part (last);
-- One row; whoever updates it first in a transaction numbers its decisions next.
CREATE TABLE decision_counter (
    id BIGINT NOT NULL PRIMARY KEY,
    next BIGINT NOT NULL
);
INSERT INTO decision_counter (id, next) VALUES (1, 1);
