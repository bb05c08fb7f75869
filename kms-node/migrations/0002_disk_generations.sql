-- Highest generation each instance's disk was reported with, over all key epochs. TEXT holds lower-case hex.
CREATE TABLE disk_generations (
    app_id TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (app_id, instance_id)
);
