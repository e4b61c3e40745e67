-- Packets of a segment's pictures that the network lost, as far as their numbers tell: more than none is damage.
ALTER TABLE segments ADD COLUMN lost_packets INTEGER NOT NULL DEFAULT 0 CHECK (lost_packets >= 0);

CREATE INDEX segments_damaged ON segments (camera_id, start_ns, end_ns, lost_packets) WHERE lost_packets > 0;
