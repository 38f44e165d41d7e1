-- Tasks that are kept no longer take their names with them.
CREATE INDEX keys_of_task ON keys (task);
