// The doors of the recorder that this page uses. Every answer is JSON; every failure is an ApiError.

const ROOT = '/api/v1';

/** What went wrong, in the recorder's own words; `status` 0 means that nobody answered. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.error ?? problem.title ?? `The recorder answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
  get unreachable() { return this.status === 0; }
}

/** How far the recorder's clock is ahead of this browser's, in milliseconds; small differences count as none. */
export const skew = { millis: 0 };

/** The recorder's now. */
export const now = () => Date.now() + skew.millis;

async function ask(path, { method = 'GET', body, timeout = 8000 } = {}) {
  let answer;
  const asked = Date.now();
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? { Accept: 'application/json' } : { Accept: 'application/json', 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(timeout),
    });
  } catch {
    throw new ApiError(0, { detail: 'The recorder does not answer.' });
  }
  learnClock(answer.headers.get('Date'), asked, Date.now());
  const text = await answer.text().catch(() => { throw new ApiError(0, { detail: 'The recorder stopped in the middle of its answer.' }); });
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { value = null; }
  if (!answer.ok) throw new ApiError(answer.status, value && typeof value === 'object' ? value : {});
  return value;
}

function learnClock(header, asked, answered) {
  const theirs = Date.parse(header ?? '');
  if (!Number.isFinite(theirs) || answered - asked > 2000) return;
  // The header counts whole seconds: less than two seconds apart says nothing.
  const ahead = theirs + 500 - (asked + answered) / 2;
  if (Math.abs(ahead) < 2000) skew.millis = 0;
  else if (Math.abs(ahead - skew.millis) > 1500) skew.millis = ahead;
}

const part = encodeURIComponent;
const iso = (at) => new Date(at).toISOString();
const range = (from, to) => `from=${part(iso(from))}&to=${part(iso(to))}`;
const camera = (id) => `${ROOT}/cameras/${part(id)}`;

export const listCameras = () => ask(`${ROOT}/cameras`);
export const listHealth = () => ask(`${ROOT}/health/cameras`, { timeout: 5000 });
export const addCamera = (body) => ask(`${ROOT}/cameras`, { method: 'POST', body, timeout: 20000 });
export const removeCamera = (id) => ask(camera(id), { method: 'DELETE', timeout: 20000 });
export const mirror = () => ask(`${ROOT}/system/mirror`, { timeout: 5000 });
export const healthz = () => ask('/healthz', { timeout: 5000 });

/** Orders a clip of one camera; the recorder makes it in the background. */
export const orderExport = (id, from, to) => ask(`${ROOT}/exports`, { method: 'POST', body: { cameras: [id], from: iso(from), to: iso(to) } });
export const exportJob = (id) => ask(`${ROOT}/exports/${part(id)}`);
export const callOffExport = (id) => ask(`${ROOT}/exports/${part(id)}`, { method: 'DELETE' });

/** Recorded spans `{start, end}` in milliseconds, and those of them that came back from the camera's own storage. */
export async function fetchTimeline(id, from, to) {
  const answer = await ask(`${camera(id)}/timeline?${range(from, to)}`);
  const spans = (rows) => (rows ?? []).map((r) => ({ start: Date.parse(r.start), end: Date.parse(r.end) })).filter(isSpan);
  return { ranges: spans(answer?.ranges), refilled: spans(answer?.refilled) };
}

/** The days with footage, like `2026-11-20`, as this zone counts them. */
export async function fetchDays(id, zone) {
  return ((await ask(`${camera(id)}/days?zone=${part(zone)}`)) ?? []).map((row) => row.day);
}

/** Gaps `{start, end, cause, fill}`, or null where the recorder has no such door yet. */
export async function fetchGaps(id, from, to) {
  let answer;
  try {
    answer = await ask(`${camera(id)}/gaps?${range(from, to)}`);
  } catch (error) {
    if (error.status === 404 || error.status === 405 || error.status === 501) return null;
    throw error;
  }
  const rows = Array.isArray(answer) ? answer : answer?.gaps ?? [];
  return rows.map((g) => ({
    start: Date.parse(g.start ?? g.from ?? g.gap_start), end: Date.parse(g.end ?? g.to ?? g.gap_end), cause: g.cause ?? null,
    fill: g.fill_state ?? null,
  })).filter(isSpan);
}

/** Segments that overlap [from, to), earliest first, each with `start` and `end` in milliseconds. */
export async function fetchSegments(id, from, to, limit) {
  const rows = (await ask(`${camera(id)}/segments?${range(from, to)}&limit=${limit}`)) ?? [];
  return rows.map((row) => ({ ...row, start: Date.parse(row.start_time), end: Date.parse(row.end_time) }))
    .filter((row) => Number.isFinite(row.start)).sort((a, b) => a.start - b.start);
}

/** Why a file cannot be had, or null when it can. */
export async function fileTrouble(url) {
  try {
    const answer = await fetch(url, { headers: { Range: 'bytes=0-0' }, signal: AbortSignal.timeout(5000) });
    if (answer.ok) return null;
    return answer.status === 404 ? 'The file of this segment is no longer on the disk.' : `The recorder answered ${answer.status} for this file.`;
  } catch {
    return 'The recorder does not answer.';
  }
}

const isSpan = (s) => Number.isFinite(s.start) && Number.isFinite(s.end) && s.end > s.start;
