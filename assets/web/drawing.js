// Drawing the axis and the lanes on canvases. Colours come from the style sheet, so that light and dark are one place.

import { xOf } from './spans.js';
import { ticks } from './time.js';
import { isQuiet } from './words.js';

let colours = null;
let hatch = null;

/** Reads the colours again, after a change between light and dark. */
export function forgetColours() {
  colours = null;
  hatch = null;
}

function palette() {
  if (colours) return colours;
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  colours = {
    lane: read('--lane'), future: read('--future'), recorded: read('--recorded'), refilled: read('--refilled'), live: read('--live'), gap: read('--gap'),
    gapGround: read('--gap-ground'), now: read('--now'), head: read('--head'), headEdge: read('--head-edge'), text: read('--text'),
    muted: read('--muted'), line: read('--line'), font: style.fontFamily || 'sans-serif', scale: (parseFloat(style.fontSize) || 14) / 14,
  };
  return colours;
}

/** Fits the canvas to its box at the screen's resolution; null while it has no size. */
function begin(canvas) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width || !height) return null;
  const scale = window.devicePixelRatio || 1;
  const w = Math.round(width * scale);
  const h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

function gapPattern(pen, c) {
  if (hatch) return hatch;
  const size = 8;
  const tile = document.createElement('canvas');
  tile.width = size;
  tile.height = size;
  const p = tile.getContext('2d');
  p.fillStyle = c.gapGround;
  p.fillRect(0, 0, size, size);
  p.strokeStyle = c.gap;
  p.lineWidth = 2;
  p.beginPath();
  for (const shift of [-size, 0, size]) {
    p.moveTo(shift - 1, size + 1);
    p.lineTo(shift + size + 1, -1);
  }
  p.stroke();
  hatch = pen.createPattern(tile, 'repeat');
  return hatch;
}

/** The time axis: ticks and their labels, new days in bold. */
export function drawAxis(canvas, view, zone, now, hover) {
  const place = begin(canvas);
  if (!place) return;
  const { pen, width, height } = place;
  const c = palette();
  pen.textBaseline = 'middle';
  let free = -Infinity;
  for (const tick of ticks(view.from, view.to, width, zone, roomFor(width))) {
    const x = xOf(tick.at, view, width);
    pen.fillStyle = tick.day ? c.text : c.line;
    pen.fillRect(Math.round(x), height - (tick.day ? 9 : 6), 1, 9);
    pen.font = `${tick.day ? '600 ' : ''}${12 * c.scale}px ${c.font}`;
    const size = pen.measureText(tick.label).width;
    const left = Math.min(Math.max(x - size / 2, 1), width - size - 1);
    if (left < free) continue;
    free = left + size + 8;
    pen.fillStyle = tick.day ? c.text : c.muted;
    pen.fillText(tick.label, left, height / 2 - 3);
  }
  mark(pen, xOf(now, view, width), width, height, c.now, 2, height - 9);
  if (hover !== null) mark(pen, xOf(hover, view, width), width, height, c.text, 1, height - 9);
}

// How far apart ticks stand, so that their labels have room; axis and lanes must agree.
const roomFor = (width) => (width < 500 ? 68 : 84) * palette().scale;

function mark(pen, x, width, height, colour, thick, top = 0) {
  if (x < -thick || x > width + thick) return;
  pen.fillStyle = colour;
  pen.fillRect(Math.round(x - thick / 2), top, thick, height - top);
}

/** One camera's bar. */
export function drawLane(canvas, lane) {
  const place = begin(canvas);
  if (!place) return;
  const { pen, width, height } = place;
  const { view, zone, now, hover, head, recorded, refilled, gaps, growing } = lane;
  const c = palette();
  const top = 4;
  const tall = height - 8;
  pen.fillStyle = c.lane;
  pen.fillRect(0, top, width, tall);
  for (const tick of ticks(view.from, view.to, width, zone, roomFor(width))) {
    pen.fillStyle = c.line;
    pen.fillRect(Math.round(xOf(tick.at, view, width)), top, 1, tall);
  }
  const nowX = xOf(now, view, width);
  if (nowX < width) {
    pen.fillStyle = c.future;
    pen.fillRect(Math.max(0, nowX), top, width - Math.max(0, nowX), tall);
  }
  const bar = (span, fill, least) => {
    if (span.end <= view.from || span.start >= view.to) return;
    const left = Math.max(0, xOf(span.start, view, width));
    const right = Math.min(width, xOf(span.end, view, width));
    // A short gap in a long window must still be seen: never thinner than `least`, but inside the bar.
    const thick = Math.max(least, right - left);
    pen.fillStyle = fill;
    pen.fillRect(Math.min(left, width - thick), top, thick, tall);
  };
  for (const span of recorded) bar(span, c.recorded, 1);
  for (const span of refilled) bar(span, c.refilled, 2);
  const pattern = gapPattern(pen, c);
  for (const gap of gaps) {
    if (isQuiet(gap.cause)) continue;
    bar(gap, pattern, 2);
    const left = xOf(gap.start, view, width);
    const right = xOf(gap.end, view, width);
    if (right - left < 4) bar(gap, c.gap, 2);
    else if (right > 0 && left < width) {
      pen.fillStyle = c.gap;
      pen.fillRect(Math.max(0, left), top, Math.min(width, right) - Math.max(0, left), 1);
      pen.fillRect(Math.max(0, left), top + tall - 1, Math.min(width, right) - Math.max(0, left), 1);
    }
  }
  if (growing) {
    const edge = xOf(recorded[recorded.length - 1].end, view, width);
    const from = Math.max(0, xOf(growing, view, width), edge - width);
    if (edge > 0 && from < width) {
      pen.fillStyle = c.live;
      pen.fillRect(Math.min(from, edge - 4), top, Math.min(width, edge) - Math.min(from, edge - 4), tall);
    }
  }
  mark(pen, nowX, width, height, c.now, 2);
  if (hover !== null) mark(pen, xOf(hover, view, width), width, height, c.text, 1);
  if (head !== null) {
    const x = xOf(head, view, width);
    mark(pen, x, width, height, c.headEdge, 5);
    mark(pen, x, width, height, c.head, 3);
    if (x > -6 && x < width + 6) {
      pen.beginPath();
      pen.moveTo(x - 6, 0);
      pen.lineTo(x + 6, 0);
      pen.lineTo(x, 8);
      pen.closePath();
      pen.fillStyle = c.head;
      pen.fill();
      pen.strokeStyle = c.headEdge;
      pen.lineWidth = 1;
      pen.stroke();
    }
  }
}
