// Spans of time, half-open [start, end) in milliseconds, and the window through which they are looked at. Pure.

/** The part of a span inside [from, to), or null. */
export function clip(span, from, to) {
  const start = Math.max(span.start, from);
  const end = Math.min(span.end, to);
  return start < end ? { ...span, start, end } : null;
}

/** Spans in order, those that touch or overlap made one. */
export function unite(spans) {
  const sorted = spans.filter((s) => s.end > s.start).sort((a, b) => a.start - b.start);
  const out = [];
  for (const span of sorted) {
    const last = out[out.length - 1];
    if (last && span.start <= last.end) last.end = Math.max(last.end, span.end);
    else out.push({ ...span });
  }
  return out;
}

/** What was known before, with everything inside [from, to) replaced by what is known now. */
export function splice(before, now, from, to) {
  const kept = [];
  for (const span of before) {
    const left = clip(span, -Infinity, from);
    const right = clip(span, to, Infinity);
    if (left) kept.push(left);
    if (right) kept.push(right);
  }
  for (const span of now) {
    const inside = clip(span, from, to);
    if (inside) kept.push(inside);
  }
  return kept.sort((a, b) => a.start - b.start);
}

/** Neighbours that say the same and touch, made one (a gap that was fetched in two pieces). */
export function joinAlike(spans, key) {
  const out = [];
  for (const span of spans) {
    const last = out[out.length - 1];
    if (last && span.start <= last.end && key(span) === key(last)) last.end = Math.max(last.end, span.end);
    else out.push({ ...span });
  }
  return out;
}

/** The holes in ordered, united spans within [from, to), longer than `least`. */
export function holes(spans, from, to, least = 0) {
  const out = [];
  let at = from;
  for (const span of spans) {
    if (span.end <= from) continue;
    if (span.start >= to) break;
    if (span.start - at > least) out.push({ start: at, end: span.start });
    at = Math.max(at, span.end);
  }
  if (to - at > least) out.push({ start: at, end: to });
  return out;
}

/** The span that holds this instant, or null. */
export function spanAt(spans, at) {
  return spans.find((s) => s.start <= at && at < s.end) ?? null;
}

/** Milliseconds of [from, to) that the united spans cover. */
export function covered(spans, from, to) {
  let sum = 0;
  for (const span of spans) {
    const inside = clip(span, from, to);
    if (inside) sum += inside.end - inside.start;
  }
  return sum;
}

/** Where an instant lies on a bar `width` pixels wide. */
export function xOf(at, view, width) {
  return ((at - view.from) / (view.to - view.from)) * width;
}

/** Which instant a pixel shows. */
export function timeOf(x, view, width) {
  return view.from + (x / width) * (view.to - view.from);
}

export const SHORTEST = 10_000;
export const LONGEST = 31 * 86_400_000;

/** The window made `factor` times as long, the instant `anchor` staying where it is. */
export function zoom(view, factor, anchor) {
  const span = view.to - view.from;
  const wanted = Math.min(LONGEST, Math.max(SHORTEST, span * factor));
  const share = (anchor - view.from) / span;
  const from = anchor - share * wanted;
  return { from, to: from + wanted };
}

/** The window moved by so many milliseconds, but never past `latest`. */
export function pan(view, by, latest = Infinity) {
  const move = view.to + by > latest ? Math.min(by, Math.max(0, latest - view.to)) : by;
  return { from: view.from + move, to: view.to + move };
}

/** The window that follows now: so long, with a little room right of now to see the edge grow. */
export function following(span, now) {
  const to = now + span * 0.015;
  return { from: to - span, to };
}
