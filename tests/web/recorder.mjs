// A stand-in for the recorder: serves the page from assets/web, the API from what a test sets, and small films.
import { execFileSync } from 'node:child_process';
import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../../assets/web/', import.meta.url));
const TYPES = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html' };
const iso = (at) => new Date(at).toISOString();

/** A film of so many seconds at ten frames a second with a keyframe a second; in fragments of half a second if wanted. */
export function film(seconds, fragmented = false) {
  const folder = mkdtempSync(join(tmpdir(), 'camkeep-film-'));
  const file = join(folder, 'film.mp4');
  execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', `testsrc=size=160x90:rate=10:duration=${seconds}`, '-c:v', 'libx264',
    '-pix_fmt', 'yuv420p', '-g', '10', '-bf', '0',
    ...(fragmented ? ['-movflags', 'empty_moov+default_base_moof+frag_keyframe', '-frag_duration', '500000'] : ['-movflags', 'faststart']), file]);
  const bytes = readFileSync(file);
  rmSync(folder, { recursive: true });
  return bytes;
}

/** Where each fragment of a film ends. */
export function fragmentEnds(bytes) {
  const ends = [];
  for (let at = 0; at + 8 <= bytes.length; at += bytes.readUInt32BE(at)) {
    if (bytes.toString('latin1', at + 4, at + 8) === 'mdat') ends.push(at + bytes.readUInt32BE(at));
  }
  return ends;
}

/** A recorder with one camera, `yard`. A test changes its fields as it likes. */
export class Recorder {
  static async start() {
    const recorder = new Recorder();
    await new Promise((go) => { recorder.server.listen(0, '127.0.0.1', go); });
    recorder.url = `http://127.0.0.1:${recorder.server.address().port}/`;
    return recorder;
  }

  constructor() {
    this.camera = { id: 'yard', name: 'Yard', enabled: true, record_enabled: true, record_mode: 'continuous', segment_seconds: 4, created_at: iso(0) };
    this.health = { camera_id: 'yard', name: 'Yard', state: 'recording', since: iso(Date.now() - 60_000), loss: null, message: null, frames_per_second: 10, bytes_per_second: 1000, reconnects: 0 };
    /** `{start, end, open, bytes}`; `bytes` is a buffer or a function that gives one. */
    this.segments = [];
    this.gaps = [];
    this.job = null;
    /** What adding a camera answers. */
    this.added = [201, {}];
    this.server = createServer((request, answer) => this.#answer(request, answer));
  }

  #rows() {
    return this.segments.map((s, number) => ({
      id: `00000000-0000-0000-0000-00000000000${number}`, camera_id: 'yard', start_time: iso(s.start), end_time: iso(s.end), codec: 'h264', width: 160, height: 90,
      fps: 10, size_bytes: 1000, container: 'mp4', open: s.open ?? false, origin: 'live', locked: false, evidence_locked: false, url: `/media/recordings/yard/${number}.mp4`,
    }));
  }

  #answer(request, answer) {
    const { pathname, searchParams } = new URL(request.url, 'http://recorder');
    const json = (body, status = 200) => {
      answer.writeHead(status, { 'Content-Type': 'application/json' });
      answer.end(JSON.stringify(body));
    };
    const within = (row, start, end) => Date.parse(row[start]) < Date.parse(searchParams.get('to')) && Date.parse(row[end]) > Date.parse(searchParams.get('from'));
    const api = pathname.replace(/^\/api\/v1/, '');
    if (pathname === '/' || pathname.startsWith('/web/')) {
      const name = pathname === '/' ? 'index.html' : pathname.slice(5);
      answer.writeHead(200, { 'Content-Type': TYPES[name.split('.').pop()] });
      answer.end(readFileSync(join(PAGE, name)));
    } else if (pathname.startsWith('/media/')) this.#media(request, answer, Number(pathname.match(/(\d)\.mp4$/)[1]));
    else if (pathname === '/healthz') json({ version: 'test' });
    else if (api === '/cameras' && request.method === 'POST') json(this.added[1], this.added[0]);
    else if (api === '/cameras') json([this.camera]);
    else if (api === '/health/cameras') json([this.health]);
    else if (api === '/system/mirror') json({ state: 'off', cameras: 0 });
    else if (api.endsWith('/days')) json([{ day: iso(Date.now()).slice(0, 10) }]);
    else if (api.endsWith('/segments')) json(this.#rows().filter((row) => within(row, 'start_time', 'end_time')).slice(0, Number(searchParams.get('limit'))));
    else if (api.endsWith('/timeline')) json({ ranges: this.#rows().map((row) => ({ start: row.start_time, end: row.end_time })).filter((row) => within(row, 'start', 'end')), refilled: [] });
    else if (api.endsWith('/gaps')) json(this.gaps.map((gap) => ({ ...gap, start: iso(gap.start), end: iso(gap.end) })));
    else if (api.startsWith('/exports')) json(this.job, request.method === 'POST' ? 202 : 200);
    else json({ error: `nothing is at ${pathname}` }, 404);
  }

  #media(request, answer, number) {
    const { bytes } = this.segments[number];
    const film = typeof bytes === 'function' ? bytes() : bytes;
    const [, from, to] = request.headers.range?.match(/^bytes=(\d+)-(\d*)$/) ?? [];
    const first = Number(from ?? 0);
    const last = to ? Math.min(Number(to), film.length - 1) : film.length - 1;
    const headers = { 'Content-Type': 'video/mp4', 'Accept-Ranges': 'bytes', 'Content-Length': last - first + 1 };
    if (from !== undefined) headers['Content-Range'] = `bytes ${first}-${last}/${film.length}`;
    answer.writeHead(from === undefined ? 200 : 206, headers);
    answer.end(film.subarray(first, last + 1));
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((go) => { this.server.close(go); });
  }
}
