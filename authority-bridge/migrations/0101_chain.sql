-- What was followed of a chain. TEXT holds lower-case hex or JSON, so that one file serves SQLite and PostgreSQL.
CREATE TABLE IF NOT EXISTS chain_floor (
    chain_id BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL
);
-- Finalized headers: the newest ones, and for good those of blocks that hold events.
CREATE TABLE chain_header (
    chain_id BIGINT NOT NULL,
    contract TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    parent TEXT NOT NULL,
    time BIGINT NOT NULL,
    state_root TEXT NOT NULL,
    receipts_root TEXT NOT NULL,
    rlp TEXT NOT NULL,
    has_events BIGINT NOT NULL,
    PRIMARY KEY (chain_id, contract, number)
);
-- Apps that were registered; an app that was unregistered stays.
CREATE TABLE chain_app (
    chain_id BIGINT NOT NULL,
    contract TEXT NOT NULL,
    app TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract, app)
);
-- Events that change policy. Never pruned.
CREATE TABLE policy_event (
    chain_id BIGINT NOT NULL,
    contract TEXT NOT NULL,
    number BIGINT NOT NULL,
    log_index BIGINT NOT NULL,
    block_hash TEXT NOT NULL,
    time BIGINT NOT NULL,
    tx_index BIGINT NOT NULL,
    emitter TEXT NOT NULL,
    app TEXT NOT NULL,
    event TEXT NOT NULL,
    fields TEXT NOT NULL,
    topics TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract, number, log_index)
);
CREATE INDEX policy_event_of_app ON policy_event (chain_id, contract, app, number, log_index);
-- Every block from from_number to done_number has been read; done_number is from_number - 1 before the first.
CREATE TABLE chain_history (
    chain_id BIGINT NOT NULL,
    contract TEXT NOT NULL,
    from_number BIGINT NOT NULL,
    done_number BIGINT NOT NULL,
    done_hash TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract)
);
-- Ancestors of a finalized block that were linked to it on the way down to done_number.
CREATE TABLE chain_checkpoint (
    chain_id BIGINT NOT NULL,
    contract TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (chain_id, contract, number)
);
