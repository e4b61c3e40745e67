// Finding the segment that shows a moment.

import { fetchSegments, fetchTimeline, now } from './api.js';

const DAY = 86_400_000;

/** The segment that holds this moment, else the first after it, else the last before; null when there is none. */
export async function segmentAt(camera, at) {
  const here = await fetchSegments(camera, at, at + 1, 3);
  const hit = here.find((s) => s.start <= at && at < s.end) ?? here[0];
  if (hit) return hit;
  const after = at < now() ? (await fetchSegments(camera, at, now() + 1000, 3))[0] : null;
  return after ?? segmentBefore(camera, at);
}

/** The last segment that begins before this moment; null when there is none within a month. */
export async function segmentBefore(camera, at) {
  for (const reach of [3_600_000, DAY, 7 * DAY, 31 * DAY]) {
    const ranges = (await fetchTimeline(camera, at - reach, at)).ranges.filter((r) => r.start < at);
    if (ranges.length === 0) continue;
    const end = Math.min(at, Math.max(...ranges.map((r) => r.end)));
    const row = (await fetchSegments(camera, end - 1, end, 5)).filter((s) => s.start < at).pop();
    if (row) return row;
  }
  return null;
}

/** The first segment after this one; null while there is none. */
export async function segmentAfter(camera, segment) {
  const rows = await fetchSegments(camera, segment.end, Math.max(now(), segment.end) + 1000, 3);
  return rows.find((s) => s.start > segment.start && s.id !== segment.id) ?? null;
}
