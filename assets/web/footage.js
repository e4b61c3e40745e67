// What is known of one camera's footage: recorded spans and gaps over a fetched stretch of time, kept fresh.

import { fetchGaps, fetchTimeline, now } from './api.js';
import { clip, holes, joinAlike, splice, unite } from './spans.js';

/** Holes up to this long are seams, not gaps; the recorder says the same. */
const SEAM = 2000;
/** How far the newest footage may lag behind now while a camera records. */
const LAG = 8000;
/** The last stretch is asked again each time: it is where things change. */
const TAIL = 90_000;
/** How long a new camera may take to its first frame without that being a gap. */
const START = 30_000;
/** Older footage changes seldom (refilled or retained): asked anew this often. */
const STALE = 60_000;

/** One camera's footage, as far as it was fetched. */
export class Footage {
  constructor(camera) {
    this.id = camera.id;
    this.ranges = [];
    this.refilled = [];
    this.gaps = [];
    this.from = Infinity;
    this.to = -Infinity;
    this.asked = -Infinity;
    this.tailAsked = -Infinity;
    this.gapsKnown = true;
    this.trouble = null;
    this.busy = false;
  }

  /** Fetches what this window needs and has not got, or what has grown old. Answers whether anything changed. */
  async refresh(view, tailEvery) {
    if (this.busy) return false;
    const at = now();
    const end = Math.min(view.to, at);
    if (end <= view.from) return false;
    const seen = this.from <= view.from && Math.min(view.to, this.asked) <= this.to;
    const length = view.to - view.from;
    if (!seen || at - this.asked > STALE || this.to - this.from > 12 * length + 3_600_000) {
      return this.#fetch(view.from - length / 2, Math.min(view.to + length / 2, at), true);
    }
    if (view.to >= this.to && at - this.tailAsked >= tailEvery) {
      return this.#fetch(Math.max(this.from, Math.min(this.to, at) - TAIL), at, false);
    }
    return false;
  }

  async #fetch(from, to, whole) {
    this.busy = true;
    try {
      const [{ ranges, refilled }, gaps] = await Promise.all([
        fetchTimeline(this.id, from, to),
        this.gapsKnown ? fetchGaps(this.id, from, to) : null,
      ]);
      if (gaps === null) this.gapsKnown = false;
      if (whole) {
        this.ranges = unite(splice([], ranges, from, to));
        this.refilled = unite(splice([], refilled, from, to));
        this.gaps = joinAlike(splice([], gaps ?? [], from, to), (g) => `${g.cause} ${g.fill}`);
        this.from = from;
        this.asked = to;
      } else {
        this.ranges = unite(splice(this.ranges, ranges, from, to));
        this.refilled = unite(splice(this.refilled, refilled, from, to));
        this.gaps = joinAlike(splice(this.gaps, gaps ?? [], from, to), (g) => `${g.cause} ${g.fill}`);
      }
      this.to = to;
      this.tailAsked = to;
      this.trouble = null;
      return true;
    } catch (error) {
      if (!error.unreachable) this.trouble = error.message;
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** Recorded spans up to this moment: the newest footage reaches to the last frame the recorder told of. */
  recorded(health) {
    const last = this.ranges[this.ranges.length - 1];
    const frame = Date.parse(health?.last_frame_at ?? '');
    if (!last || health?.state !== 'recording' || !(frame > last.end) || frame - last.end > LAG) return this.ranges;
    return [...this.ranges.slice(0, -1), { ...last, end: frame }];
  }

  /** When footage of this camera can first be expected, as far as is known. */
  begins(camera) {
    const created = Date.parse(camera.created_at ?? '');
    const first = this.ranges[0]?.start ?? Infinity;
    if (!Number.isFinite(created)) return first;
    return first >= created && first - created < START ? first : created;
  }

  /** Gaps to draw in the fetched stretch, up to now. */
  missing(camera, health) {
    const at = now();
    const created = this.begins(camera);
    const recording = health?.state === 'recording';
    const recorded = this.recorded(health);
    let found;
    if (this.gapsKnown) {
      found = this.gaps;
    } else {
      // Without the recorder's word: what lies between footage, and after it while footage is wanted.
      const wanted = camera.enabled !== false && camera.record_enabled !== false && (camera.record_mode ?? 'continuous') === 'continuous';
      const begin = Math.max(this.from, created);
      const end = wanted ? at : recorded[recorded.length - 1]?.end ?? -Infinity;
      found = begin < end ? holes(recorded, begin, end, SEAM) : [];
      found = found.map((hole) => ({ ...hole, cause: at - hole.end < LAG ? health?.loss ?? null : null }));
    }
    const edge = recorded[recorded.length - 1]?.end ?? -Infinity;
    return found
      .map((gap) => (!recording && at - gap.end < LAG ? { ...gap, end: at } : gap))
      .map((gap) => clip(gap, created === Infinity ? -Infinity : created, recording && gap.end > edge && at - edge < LAG ? edge : at))
      .filter((gap) => gap && gap.end - gap.start > SEAM);
  }
}
