-- Where a camera's HTTP server is: ONVIF and vendors' requests about what it kept go there.
ALTER TABLE cameras ADD COLUMN http_port INTEGER NOT NULL DEFAULT 80 CHECK (http_port BETWEEN 0 AND 65535);
