// The box's state in plain words. Pure.

import { agoWords, clock, durationWords } from './time.js';

export const STATE_WORDS = {
  recording: 'Recording', connecting: 'Connecting', offline: 'Offline', error: 'Error', idle: 'Waiting', disabled: 'Disabled',
};

/** How a state is coloured: good, wait, bad or quiet. */
export const STATE_TONE = {
  recording: 'good', connecting: 'wait', offline: 'bad', error: 'bad', idle: 'quiet', disabled: 'quiet',
};

/** Causes of gaps, short. Where the recorder says it itself (a camera's `message`), its words are shown. */
const CAUSE_WORDS = {
  refused: 'connection refused',
  unauthorised: 'wrong user name or password',
  unreachable: 'camera did not answer',
  ended: 'camera ended the stream',
  stalled: 'camera sent nothing',
  silent: 'camera sent nothing for a while',
  broken: 'stream could not be read',
  volume_full: 'disk full',
  volume_lost: 'disk missing or failing',
  damaged: 'file damaged',
  missing: 'file missing',
  stopped: 'camkeep was not running',
  killed: 'camkeep was killed, or the power was cut',
  changed: 'settings were changed',
  unknown: 'cause not known',
  not_wanted: 'not to be recorded then',
};

const plain = (word) => String(word).replaceAll('_', ' ');

/** What may still become of a gap, where its camera is asked for what it kept itself. */
export function fillWords(fill, isAsked) {
  if (!isAsked || !fill) return '';
  return fill === 'failed' ? '; the camera did not have it' : '; to be fetched from the camera';
}

/** A loss or a gap's cause, short. */
export function causeWords(cause) {
  return CAUSE_WORDS[cause ?? 'unknown'] ?? plain(cause);
}

/** What a camera's state means, as a sentence without its stop: in the recorder's own words where it has some. */
export function reasonWords(row) {
  if (row.message) return row.message.charAt(0).toUpperCase() + row.message.slice(1);
  if (row.loss) return causeWords(row.loss);
  switch (row.state) {
    case 'recording': return 'Frames are being written';
    case 'connecting': return 'Waiting for the first frames';
    case 'idle': return 'Connected, waiting for a reason to record';
    case 'disabled': return 'Switched off in its settings';
    case 'offline': return 'Not connected';
    case 'error': return 'Recording has stopped';
    default: return '';
  }
}

const cameras = (n) => (n === 1 ? '1 camera' : `${n} cameras`);

/** Causes by which nothing was expected: no loss, and not drawn as one. */
export const isQuiet = (cause) => cause === 'not_wanted';

/** The whole box in one line: `{tone, trouble, rest, text}`, `text` being both parts together. */
export function overall(rows, now) {
  if (rows.length === 0) return { tone: 'quiet', trouble: '', rest: 'No cameras yet', text: 'No cameras yet' };
  const count = (state) => rows.filter((r) => r.state === state).length;
  const bad = rows.filter((r) => STATE_TONE[r.state] === 'bad');
  const recording = count('recording');
  const parts = [];
  let trouble = '';
  if (bad.length === 1) {
    const [row] = bad;
    const since = Date.parse(row.since);
    const how = [row.name, row.message ?? (row.loss ? causeWords(row.loss) : null), Number.isFinite(since) ? `for ${agoWords(now - since)}` : null];
    trouble = `1 camera ${row.state === 'error' ? 'in error' : 'offline'}: ${how.filter(Boolean).join(', ')}`;
  } else if (bad.length > 1) {
    const names = bad.slice(0, 3).map((r) => (r.loss ? `${r.name} (${causeWords(r.loss)})` : r.name));
    const rest = bad.length - names.length;
    trouble = `${bad.length} cameras not recording: ${names.join(', ')}${rest ? ` and ${rest} more` : ''}`;
  }
  if (recording > 0 || bad.length === 0) {
    if (recording === rows.length && recording > 1) parts.push(`All ${recording} cameras recording`);
    else if (recording > 0) parts.push(`${cameras(recording)} recording`);
  }
  const connecting = count('connecting');
  if (connecting) parts.push(`${connecting} connecting`);
  const idle = count('idle');
  if (idle) parts.push(`${idle} waiting`);
  const disabled = count('disabled');
  if (disabled) parts.push(`${disabled} disabled`);
  const tone = bad.length ? 'bad' : connecting ? 'wait' : recording ? 'good' : 'quiet';
  const rest = parts.join(' · ');
  return { tone, trouble, rest, text: [trouble, rest].filter(Boolean).join(' · ') };
}

/** 25 fps */
export function fpsWords(value) {
  if (!Number.isFinite(value)) return '–';
  const rounded = Math.round(value * 10) / 10;
  return `${Number.isInteger(rounded) ? rounded : rounded.toFixed(1)} fps`;
}

/** 4.1 Mbit/s, from bytes a second. */
export function rateWords(bytesPerSecond) {
  if (!Number.isFinite(bytesPerSecond)) return '–';
  const mega = (bytesPerSecond * 8) / 1e6;
  if (mega >= 10) return `${mega.toFixed(0)} Mbit/s`;
  return mega >= 0.1 || mega === 0 ? `${mega.toFixed(1)} Mbit/s` : `${Math.round(mega * 1000)} kbit/s`;
}

/** 2.9 MB */
export function sizeWords(bytes) {
  if (!Number.isFinite(bytes)) return '';
  for (const [unit, name] of [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(bytes >= 100 * unit ? 0 : 1)} ${name}`;
  }
  return `${bytes} bytes`;
}

/** A share of 1 as a percentage that says 100 only when nothing is missing. */
export function percentWords(share) {
  if (!Number.isFinite(share)) return '–';
  if (share >= 1) return '100 %';
  return `${(Math.floor(Math.max(0, share) * 1000) / 10).toFixed(1)} %`;
}

/** Whether a segment's codec is H.265 under any of its names. */
export function isH265(codec) {
  return /265|hevc|hvc1|hev1/i.test(codec ?? '');
}

/** How the second volume is, in one line; nothing where nobody wants one. */
export function mirrorWords(status) {
  const owed = status?.owed_segments > 0 ? `${status.owed_segments} ${status.owed_segments === 1 ? 'segment' : 'segments'} (${sizeWords(status.owed_bytes)})` : '';
  switch (status?.state) {
    case 'caught_up': return { tone: 'good', text: `Mirror: has everything, ${sizeWords(status.held_bytes)}` };
    case 'behind': return { tone: 'wait', text: owed ? `Mirror: lacks ${owed}${status.paused ? ', waits for clips' : ', catching up'}` : 'Mirror: just opened' };
    case 'absent': return { tone: 'bad', text: `Mirror: not there${owed ? `, lacks ${owed}` : ''}` };
    case 'off': return { tone: 'bad', text: status.cameras > 0 ? 'Mirror: wanted by cameras, and none is configured' : '' };
    default: return { tone: 'quiet', text: '' };
  }
}

/** A codec as people write it. */
export function codecWords(codec) {
  if (!codec) return '';
  if (isH265(codec)) return 'H.265';
  return /264|avc/i.test(codec) ? 'H.264' : String(codec);
}

/** What a segment's row says beside its time. */
export function segmentWords(row) {
  return [
    codecWords(row.codec), row.width && row.height ? `${row.width}×${row.height}` : '', sizeWords(row.size_bytes),
    row.origin === 'refill' ? 'refilled from the camera' : '', row.locked || row.evidence_locked ? 'held' : '',
  ].filter(Boolean);
}

/** What to do about footage that this browser cannot show. */
export function unplayableWords(codec) {
  if (!isH265(codec)) return `This browser cannot play this segment (${codecWords(codec) || 'unknown codec'}). Download it and open it in VLC or mpv.`;
  return 'This browser cannot play H.265. The footage is recorded and whole: download the segment and open it in VLC or mpv, '
    + 'use a browser with H.265, or set the camera to H.264.';
}

/** The form field an error of the server speaks of, or null. */
export function fieldOf(problem, names) {
  const pointed = problem.field ?? problem.errors?.[0]?.field ?? problem.errors?.[0]?.pointer;
  const text = `${problem.detail ?? ''} ${problem.error ?? ''}`;
  if (pointed) {
    // The id is made from the name: who reads of a taken id has to change the name.
    const name = String(pointed).replace(/^[#/.]+/, '').replace(/^id$/, 'name');
    if (names.includes(name)) return name;
  }
  const quoted = [...text.matchAll(/[`'"“]([a-z_]+)[`'"”]/g)].map((m) => m[1]).find((name) => names.includes(name));
  if (quoted) return quoted;
  // A longer name first: `username` must not be taken for `name`.
  const words = [...names].sort((a, b) => b.length - a.length);
  return words.find((name) => new RegExp(`(^|[^a-z_])${name}([^a-z_]|$)`, 'i').test(text)) ?? null;
}

/** What is marked for a clip so far. */
export function markWords(from, to, zone) {
  if (from === null && to === null) return 'Play to where it begins, and mark it; then the same for its end.';
  if (to === null) return `From ${clock(from, zone, true)} to …`;
  if (from === null) return `From … to ${clock(to, zone, true)}`;
  return `${clock(from, zone, true)} to ${clock(to, zone, true)}, ${durationWords(to - from)}`;
}

/** What a clip holds, and what it passes over. */
export function clipWords(clip, zone) {
  const gaps = (clip.gaps ?? []).map((g) => ({ start: Date.parse(g.from), end: Date.parse(g.to) }));
  const lacking = gaps.reduce((sum, gap) => sum + gap.end - gap.start, 0);
  const held = `${durationWords(clip.covered_seconds * 1000)}, ${sizeWords(clip.size_bytes)}`;
  if (gaps.length === 0) return held;
  if (gaps.length === 1) return `${held}; ${durationWords(lacking)} are missing from ${clock(gaps[0].start, zone)}`;
  return `${held}; ${durationWords(lacking)} are missing in ${gaps.length} gaps`;
}

/** The recorder names the camera first; here there is only one. */
export const missingWords = (error) => {
  const said = String(error).replace(/^[a-z0-9_-]{1,64}: /, '');
  return `No clip: ${said}.`;
};
