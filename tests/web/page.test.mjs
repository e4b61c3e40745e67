// What the web page computes before it draws, run by `node --test tests/web/`.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as time from '../../assets/web/time.js';
import * as spans from '../../assets/web/spans.js';
import * as days from '../../assets/web/days.js';
import * as words from '../../assets/web/words.js';

test('a gap says whether it may still come back from the camera', () => {
  assert.equal(words.fillWords('pending', true), '; to be fetched from the camera');
  assert.equal(words.fillWords('failed', true), '; the camera did not have it');
  assert.equal(words.fillWords('pending', false), '', 'nobody asks this camera');
  assert.equal(words.fillWords(null, true), '');
});

const at = (text) => Date.parse(text);
const { HOUR } = time.units;

test('a day has 23, 24 or 25 hours where clocks change', () => {
  const hours = (day, zone) => { const { from, to } = time.daySpan(day, zone); return (to - from) / HOUR; };
  assert.equal(hours('2026-03-29', 'Europe/Berlin'), 23);
  assert.equal(hours('2026-10-25', 'Europe/Berlin'), 25);
  assert.equal(hours('2026-11-20', 'Europe/Berlin'), 24);
  assert.equal(hours('2026-04-05', 'Australia/Lord_Howe'), 24.5);
  // Beirut's clocks change at midnight: the day begins at 01:00.
  assert.equal(hours('2026-03-29', 'Asia/Beirut'), 23);
  assert.equal(time.clock(time.startOfDay('2026-03-29', 'Asia/Beirut'), 'Asia/Beirut'), '01:00:00');
  assert.equal(time.oddDayWords('2026-10-25', 'Europe/Berlin'), '25 hours: the clocks go back');
  assert.equal(time.oddDayWords('2026-11-20', 'Europe/Berlin'), '');
  assert.equal(hours('2026-12-31', 'Pacific/Kiritimati'), 24);
});

test('hour ticks skip the hour that is missing and name the one that comes twice', () => {
  const labels = (day) => {
    const { from, to } = time.daySpan(day, 'Europe/Berlin');
    return time.ticks(from, to, 84 * 30, 'Europe/Berlin').map((t) => t.label);
  };
  const spring = labels('2026-03-29');
  assert.deepEqual(spring.slice(0, 4), ['Sun 29 Mar', '01:00', '03:00', '04:00']);
  assert.equal(spring.length, 23);
  const autumn = labels('2026-10-25');
  assert.deepEqual(autumn.slice(1, 5), ['01:00', '02:00 +02:00', '02:00 +01:00', '03:00']);
  assert.equal(autumn.length, 25);
});

test('ticks stand on round local times in a zone of quarter hours', () => {
  const found = time.ticks(at('2026-11-20T00:00:00Z'), at('2026-11-20T06:00:00Z'), 600, 'Asia/Kathmandu');
  assert.ok(found.length >= 5);
  for (const tick of found) assert.match(tick.label, /^\d\d:00$/);
  assert.equal(new Date(found[0].at).toISOString(), '2026-11-20T00:15:00.000Z');
});

test('ticks never stand closer than their labels need, from ten seconds to a month', () => {
  for (const span of [10e3, 60e3, 600e3, HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR, 31 * 24 * HOUR]) {
    const from = at('2026-11-02T10:00:03.250Z');
    const found = time.ticks(from, from + span, 840, 'Europe/Berlin');
    assert.ok(found.length >= 2 && found.length <= 11, `${found.length} ticks in ${span} ms`);
  }
});

test('lengths of time read as a person says them', () => {
  assert.equal(time.durationWords(400), '0.4 s');
  assert.equal(time.durationWords(59_600), '1 min');
  assert.equal(time.durationWords(130_000), '2 min 10 s');
  assert.equal(time.durationWords(3 * HOUR + 5 * 60e3), '3 h 5 min');
  assert.equal(time.durationWords(24 * HOUR), '1 day');
  assert.equal(time.agoWords(125_000), '2 min');
  const noon = at('2026-11-20T12:00:00Z');
  assert.equal(time.sinceWords(noon - 125_000, noon, 'UTC'), 'since 11:57:55 (2 min)');
  assert.equal(time.sinceWords(noon - 30 * HOUR, noon, 'UTC'), 'since Thu 19 Nov, 06:00');
  assert.equal(time.offsetWords(0, 'America/St_Johns'), '−03:30');
});

test('a pixel and its instant are a pair, and zoom holds what is under the pointer', () => {
  const view = { from: 1_000_000, to: 4_600_000 };
  assert.equal(spans.timeOf(spans.xOf(2_345_678, view, 977), view, 977), 2_345_678);
  const near = spans.zoom(view, 0.5, 2_000_000);
  assert.ok(Math.abs(spans.xOf(2_000_000, near, 977) - spans.xOf(2_000_000, view, 977)) < 1e-6);
  assert.equal(spans.zoom(view, 1e-9, 2_000_000).to - spans.zoom(view, 1e-9, 2_000_000).from, spans.SHORTEST);
  assert.deepEqual(spans.pan(view, 500_000, 4_700_000), { from: 1_100_000, to: 4_700_000 });
});

test('a fresh tail replaces the old one and joins what it touches', () => {
  const known = [{ start: 0, end: 50 }, { start: 60, end: 100 }];
  const merged = spans.unite(spans.splice(known, [{ start: 80, end: 120 }], 80, 130));
  assert.deepEqual(merged, [{ start: 0, end: 50 }, { start: 60, end: 120 }]);
  assert.deepEqual(spans.holes(merged, -5, 140, 4), [{ start: -5, end: 0 }, { start: 50, end: 60 }, { start: 120, end: 140 }]);
  assert.equal(spans.covered(merged, 40, 70), 20);
});

test('the whole box is said in one line', () => {
  const now = at('2026-11-20T12:02:00Z');
  const row = (name, state, more = {}) => ({ name, state, loss: null, since: '2026-11-20T12:00:00Z', ...more });
  assert.equal(words.overall([], now).text, 'No cameras yet');
  assert.equal(words.overall([row('a', 'recording'), row('b', 'recording'), row('c', 'recording')], now).text, 'All 3 cameras recording');
  const one = words.overall([row('front-door', 'offline', { loss: 'refused' }), row('b', 'recording')], now);
  assert.equal(one.tone, 'bad');
  assert.equal(one.text, '1 camera offline: front-door, connection refused, for 2 min · 1 camera recording');
  assert.equal(words.overall([row('a', 'disabled')], now).text, '1 disabled');
});

test('the mirror is said in one line, and not at all where nobody wants one', () => {
  assert.equal(words.mirrorWords({ state: 'off', cameras: 0 }).text, '');
  assert.equal(words.mirrorWords({ state: 'off', cameras: 2 }).tone, 'bad');
  assert.equal(words.mirrorWords({ state: 'absent', owed_segments: 0 }).text, 'Mirror: not there');
  const behind = { state: 'behind', owed_segments: 12, owed_bytes: 340e6, paused: false };
  assert.equal(words.mirrorWords(behind).text, 'Mirror: lacks 12 segments (340 MB), catching up');
  assert.equal(words.mirrorWords({ ...behind, paused: true }).text, 'Mirror: lacks 12 segments (340 MB), waits for clips');
  assert.equal(words.mirrorWords({ state: 'caught_up', owed_segments: 0, held_bytes: 2e9 }).text, 'Mirror: has everything, 2.0 GB');
  assert.equal(words.mirrorWords(undefined).text, '');
});

test('an error of the server is put at the field it speaks of', () => {
  const names = ['name', 'main_stream_url', 'username', 'password', 'segment_seconds'];
  assert.equal(words.fieldOf({ detail: '`main_stream_url` must begin with rtsp://' }, names), 'main_stream_url');
  assert.equal(words.fieldOf({ error: 'username is missing' }, names), 'username');
  assert.equal(words.fieldOf({ detail: 'the disk is full' }, names), null);
  assert.equal(words.fieldOf({ field: 'name', detail: 'taken' }, names), 'name');
  assert.equal(words.fieldOf({ field: 'id', detail: 'taken' }, names), 'name');
});

test('a hundred per cent is said only when nothing is missing', () => {
  assert.equal(words.percentWords(0.99999), '99.9 %');
  assert.equal(words.percentWords(1), '100 %');
  assert.equal(words.rateWords(512_500), '4.1 Mbit/s');
  assert.ok(words.isH265('H265') && words.isH265('hvc1') && !words.isH265('h264'));
});

test('a month is all of its days, and each says how many cameras have something of it', () => {
  assert.deepEqual([days.monthOf('2026-02-14').length, days.monthOf('2028-02-01').length, days.monthOf('2026-12-31').length], [28, 29, 31]);
  assert.deepEqual([days.monthOf('2026-11-20')[0], days.monthOf('2026-11-20')[29]], ['2026-11-01', '2026-11-30']);
  const counts = days.countDays([['2026-11-19', '2026-11-20'], ['2026-11-20', '2026-11-20']]);
  assert.deepEqual([...counts], [['2026-11-19', 1], ['2026-11-20', 2]]);
  assert.equal(days.dayWords(0, 3), 'no footage');
  assert.equal(days.dayWords(1, 1), 'footage');
  assert.equal(days.dayWords(2, 3), 'footage of 2 of 3 cameras');
  assert.equal(days.dayWords(3, 3), 'footage of every camera');
});

test('what is marked for a clip, and what it holds, reads as a person says it', () => {
  const from = at('2026-11-20T10:30:00.125Z');
  const marked = (a, b) => words.markWords(a, b, 'UTC');
  assert.match(marked(null, null), /mark it/);
  assert.equal(marked(from, null), 'From 10:30:00.125 to …');
  assert.equal(marked(null, from), 'From … to 10:30:00.125');
  assert.equal(marked(from, from + 62_000), '10:30:00.125 to 10:31:02.125, 1 min 2 s');
  const clip = { covered_seconds: 57, size_bytes: 4_120_313, gaps: [] };
  assert.equal(words.clipWords(clip, 'UTC'), `57 s, ${words.sizeWords(4_120_313)}`);
  const gap = (a, b) => ({ from: `2026-11-20T10:30:${a}Z`, to: `2026-11-20T10:30:${b}Z` });
  assert.match(words.clipWords({ ...clip, gaps: [gap('20', '23')] }, 'UTC'), /; 3 s are missing from 10:30:20$/);
  assert.match(words.clipWords({ ...clip, gaps: [gap('20', '23'), gap('30', '32')] }, 'UTC'), /; 5 s are missing in 2 gaps$/);
  assert.equal(words.missingWords('front-door: no recorded footage in the requested range'), 'No clip: no recorded footage in the requested range.');
});
