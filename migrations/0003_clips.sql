-- Clips that were made, and the jobs that make them. Camera ids here are words of the past, not references: a clip outlives
-- its camera.
CREATE TABLE clips (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    camera_id TEXT NOT NULL,
    -- The name of the file in the directory of clips.
    path TEXT NOT NULL UNIQUE CHECK (length(path) > 0),
    from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL CHECK (to_ns >= from_ns),
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL CHECK (end_ns >= start_ns),
    covered_ns INTEGER NOT NULL CHECK (covered_ns >= 0),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    frames INTEGER NOT NULL CHECK (frames >= 0),
    segment_count INTEGER NOT NULL CHECK (segment_count >= 0),
    -- A list of [start, end] in nanoseconds.
    holes TEXT NOT NULL CHECK (json_valid(holes)),
    mode TEXT NOT NULL CHECK (mode IN ('exact', 'keyframe', 'reencode_head')),
    asked_by TEXT NOT NULL,
    -- No reference: the job's row may go before its clips.
    job_id BLOB CHECK (length(job_id) = 16),
    created_at_ns INTEGER NOT NULL,
    -- Nothing when it stays until somebody removes it.
    expires_at_ns INTEGER
) STRICT;

CREATE INDEX clips_by_time ON clips (created_at_ns, id);
CREATE INDEX clips_of_camera ON clips (camera_id, created_at_ns, id);
CREATE INDEX clips_of_job ON clips (job_id, created_at_ns, id) WHERE job_id IS NOT NULL;
CREATE INDEX clips_by_end ON clips (expires_at_ns) WHERE expires_at_ns IS NOT NULL;

CREATE TABLE exports (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- A list of ids.
    cameras TEXT NOT NULL CHECK (json_valid(cameras)),
    from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL CHECK (to_ns >= from_ns),
    mode TEXT NOT NULL CHECK (mode IN ('exact', 'keyframe', 'reencode_head')),
    name TEXT,
    burn_in INTEGER NOT NULL CHECK (burn_in IN (0, 1)),
    captions INTEGER NOT NULL CHECK (captions IN (0, 1)),
    asked_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress REAL NOT NULL CHECK (progress BETWEEN 0 AND 1),
    error TEXT,
    created_at_ns INTEGER NOT NULL,
    started_at_ns INTEGER,
    ended_at_ns INTEGER
) STRICT;

CREATE INDEX exports_by_time ON exports (created_at_ns, id);
CREATE INDEX exports_waiting ON exports (created_at_ns, id) WHERE state IN ('queued', 'running');

-- Few at any time: those that an export reads. For letting all go at the start, when nobody can be reading.
CREATE INDEX segments_locked ON segments (id) WHERE locked > 0;
