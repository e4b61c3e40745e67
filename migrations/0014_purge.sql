-- When somebody wanted the footage of a removed camera gone. It stays until all of it is, files too.
ALTER TABLE cameras ADD COLUMN purge_at_ns INTEGER;
