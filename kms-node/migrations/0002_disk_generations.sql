-- Highest generation each instance's disk was reported with, over all key epochs. TEXT holds lower-case hex. A mark of zeros stands for any.
CREATE TABLE disk_generations (
    app_id TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (app_id, instance_id)
);
