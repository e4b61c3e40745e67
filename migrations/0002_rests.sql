-- When a camera was not to be recorded: outside its schedule, between events, or switched off. What is not there in such
-- a span is not missing. A row of its own and no gap, because nobody ever fills it.
CREATE TABLE rests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    start_ns INTEGER NOT NULL,
    -- Nothing while it lasts.
    end_ns INTEGER CHECK (end_ns >= start_ns)
) STRICT;

-- Those of one camera never overlap, so what overlaps a span begins with the last that began before it.
CREATE INDEX rests_by_time ON rests (camera_id, start_ns, end_ns);
CREATE UNIQUE INDEX rests_open ON rests (camera_id) WHERE end_ns IS NULL;
