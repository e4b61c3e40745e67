-- Events are told of triggers too. A check cannot be changed, so the table is made anew; numbers stay, because clients go
-- on from the last that they have seen.
CREATE TABLE events_anew (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'camera_offline', 'camera_online', 'recorder_error', 'recording_gap', 'gap_filled', 'gap_failed', 'mirror_lost',
        'mirror_caught_up', 'retention_delete', 'disk_pressure', 'volume_lost', 'clip_ready', 'clip_failed',
        'clock_step', 'index_mended', 'triggered'
    )),
    camera_id TEXT,
    message TEXT NOT NULL
) STRICT;

INSERT INTO events_anew SELECT seq, at_ns, kind, camera_id, message FROM events;
DROP TABLE events;
ALTER TABLE events_anew RENAME TO events;

CREATE INDEX events_of_camera ON events (camera_id, seq);
CREATE INDEX events_of_kind ON events (kind, seq);
