-- The index of one box. Times are nanoseconds since the Unix epoch, UTC; ids of segments and volumes are the 16 bytes of
-- a UUID; every word that stands for a value of an enum is checked, so that a program that is wrong fails when it writes.

CREATE TABLE cameras (
    id TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    name TEXT NOT NULL,
    site_id TEXT,
    vendor TEXT NOT NULL CHECK (vendor IN ('generic', 'hikvision', 'dahua', 'axis', 'onvif')),
    model TEXT,
    address TEXT,
    rtsp_port INTEGER NOT NULL CHECK (rtsp_port BETWEEN 0 AND 65535),
    channel INTEGER NOT NULL CHECK (channel >= 0),
    username TEXT,
    -- Sealed with the key file: whoever copies the index cannot read them.
    password_sealed BLOB,
    main_stream_url_sealed BLOB,
    sub_stream_url_sealed BLOB,
    anr_replay_url_template_sealed BLOB,
    record_stream TEXT NOT NULL CHECK (record_stream IN ('main', 'sub')),
    transport TEXT NOT NULL CHECK (transport IN ('tcp', 'udp', 'auto')),
    time_source TEXT NOT NULL CHECK (time_source IN ('arrival', 'camera')),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    record_enabled INTEGER NOT NULL CHECK (record_enabled IN (0, 1)),
    record_mode TEXT NOT NULL CHECK (record_mode IN ('continuous', 'scheduled', 'event', 'scheduled_event')),
    pre_roll_seconds INTEGER NOT NULL CHECK (pre_roll_seconds >= 0),
    post_roll_seconds INTEGER NOT NULL CHECK (post_roll_seconds >= 0),
    segment_seconds INTEGER NOT NULL CHECK (segment_seconds >= 0),
    retention_hours INTEGER NOT NULL CHECK (retention_hours >= 0),
    minimum_hours INTEGER NOT NULL CHECK (minimum_hours >= 0),
    storage_quota_bytes INTEGER CHECK (storage_quota_bytes >= 0),
    record_audio INTEGER NOT NULL CHECK (record_audio IN (0, 1)),
    mirror_enabled INTEGER NOT NULL CHECK (mirror_enabled IN (0, 1)),
    anr_enabled INTEGER NOT NULL CHECK (anr_enabled IN (0, 1)),
    priority INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL,
    -- Hidden, but its footage is still there: see Writer::delete_camera.
    deleted_at_ns INTEGER,
    -- No segment or gap of this camera is longer. A query for what overlaps a span begins so much before the span and
    -- seeks there; without this it would have to read every earlier row, because each of them might reach into it.
    longest_segment_ns INTEGER NOT NULL DEFAULT 0 CHECK (longest_segment_ns >= 0),
    longest_gap_ns INTEGER NOT NULL DEFAULT 0 CHECK (longest_gap_ns >= 0)
) STRICT;

CREATE TABLE volumes (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    role TEXT NOT NULL CHECK (role IN ('primary', 'mirror')),
    -- Where it was mounted when it was last seen; for people, never to find it by.
    root TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE segments (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    camera_id TEXT NOT NULL REFERENCES cameras (id),
    run_id INTEGER NOT NULL CHECK (run_id BETWEEN 0 AND 4294967295),
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL CHECK (end_ns >= start_ns),
    codec TEXT NOT NULL CHECK (codec IN ('h264', 'h265')),
    width INTEGER NOT NULL CHECK (width >= 0),
    height INTEGER NOT NULL CHECK (height >= 0),
    fps REAL,
    has_audio INTEGER NOT NULL CHECK (has_audio IN (0, 1)),
    container TEXT NOT NULL CHECK (container IN ('mp4')),
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    origin TEXT NOT NULL CHECK (origin IN ('live', 'refill')),
    clock TEXT NOT NULL CHECK (clock IN ('arrival', 'camera', 'unsynced')),
    -- How the camera's own clock stood to this box's, when the camera told.
    clock_offset_ns INTEGER,
    clock_drift_ppm REAL,
    frames INTEGER NOT NULL CHECK (frames >= 0),
    created_at_ns INTEGER NOT NULL,
    -- Whether any copy can be read, so that the timeline needs no look at the copies.
    playable INTEGER NOT NULL DEFAULT 1 CHECK (playable IN (0, 1)),
    -- How many readers (exports) hold it.
    locked INTEGER NOT NULL DEFAULT 0 CHECK (locked >= 0),
    evidence_locked INTEGER NOT NULL DEFAULT 0 CHECK (evidence_locked IN (0, 1)),
    incident_id TEXT
) STRICT;

-- Pages go by (start_ns, id); the further columns let the timeline be drawn from this index alone.
CREATE INDEX segments_by_time ON segments (camera_id, start_ns, id, end_ns, run_id, sequence, playable);
CREATE INDEX segments_open ON segments (camera_id, start_ns) WHERE state = 'open';
CREATE INDEX segments_held ON segments (camera_id) WHERE evidence_locked = 1;

CREATE TABLE copies (
    segment_id BLOB NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    volume_id BLOB NOT NULL REFERENCES volumes (id),
    path TEXT NOT NULL CHECK (length(path) > 0),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    sha256 BLOB CHECK (length(sha256) = 32),
    state TEXT NOT NULL CHECK (state IN ('open', 'whole', 'suspect', 'missing', 'quarantined')),
    PRIMARY KEY (segment_id, volume_id),
    UNIQUE (volume_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL CHECK (end_ns >= start_ns),
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    cause TEXT NOT NULL CHECK (cause IN (
        'refused', 'unauthorised', 'unreachable', 'ended', 'stalled', 'broken', 'volume_full', 'volume_lost',
        'stopped', 'killed', 'changed', 'unknown'
    )),
    fate TEXT NOT NULL CHECK (fate IN ('pending', 'filled', 'failed')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    last_attempt_at_ns INTEGER,
    filled_at_ns INTEGER,
    recovered_seconds REAL NOT NULL
) STRICT;

CREATE INDEX gaps_by_time ON gaps (camera_id, start_ns, id);
CREATE INDEX gaps_by_fate ON gaps (fate, start_ns, id);
CREATE UNIQUE INDEX gaps_open ON gaps (camera_id) WHERE open = 1;

-- Camera ids here are words of the past, not references: what happened stays told when the camera is gone.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN (
        'camera_offline', 'camera_online', 'recorder_error', 'recording_gap', 'gap_filled', 'gap_failed', 'mirror_lost',
        'mirror_caught_up', 'retention_delete', 'disk_pressure', 'volume_lost', 'clip_ready', 'clip_failed',
        'clock_step', 'index_mended'
    )),
    camera_id TEXT,
    message TEXT NOT NULL
) STRICT;

CREATE INDEX events_of_camera ON events (camera_id, seq);
CREATE INDEX events_of_kind ON events (kind, seq);

CREATE TABLE schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    -- One bit a day, Monday the lowest.
    days INTEGER NOT NULL CHECK (days BETWEEN 1 AND 127),
    time_start_minutes INTEGER NOT NULL CHECK (time_start_minutes BETWEEN 0 AND 1439),
    -- Exclusive; 1440 is 24:00. Not after the start: it ends on the next day.
    time_end_minutes INTEGER NOT NULL CHECK (time_end_minutes BETWEEN 0 AND 1440),
    zone TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1))
) STRICT;

CREATE INDEX schedules_of_camera ON schedules (camera_id, id);

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
