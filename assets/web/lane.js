// One camera's row: who it is, how it is, and its bar.

import { now } from './api.js';
import { make, say, show } from './dom.js';
import { drawLane } from './drawing.js';
import { Footage } from './footage.js';
import { covered, holes, spanAt, unite } from './spans.js';
import { clock, durationWords, fullTime, sinceWords, utcTime } from './time.js';
import { STATE_TONE, STATE_WORDS, causeWords, fillWords, fpsWords, isQuiet, percentWords, rateWords, reasonWords } from './words.js';

/** A row of the list. `desk` is what the page offers it: window, zone, play, hover, remove. */
export class Lane {
  constructor(camera, desk) {
    this.camera = camera;
    this.desk = desk;
    this.health = null;
    this.footage = new Footage(camera);
    this.visible = true;
    this.cursor = null;
    this.#build();
  }

  get id() { return this.camera.id; }

  #build() {
    this.name = make('h3', {});
    this.badge = make('span', { className: 'badge' });
    this.reason = make('p', { className: 'reason' });
    this.since = make('span', { className: 'since' });
    this.share = make('span', { className: 'share', title: 'Share of the time shown that is recorded' });
    this.more = make('button', { type: 'button', className: 'quiet more', title: 'Details', 'aria-expanded': 'false' }, '⋯');
    this.canvas = make('canvas', { className: 'bar', tabIndex: 0, role: 'slider', 'aria-orientation': 'horizontal' });
    this.facts = make('dl', { className: 'facts' });
    const removal = make('button', { type: 'button', className: 'danger' }, 'Remove this camera …');
    const play = make('button', { type: 'button' }, 'Play the last minute');
    this.details = make('div', { className: 'details', hidden: true }, this.facts, make('div', { className: 'actions' }, play, removal));
    this.node = make('li', { className: 'lane' },
      make('div', { className: 'who' }, 
        make('div', { className: 'title' }, this.name, this.more),
        make('div', { className: 'state' }, this.badge, this.since),
        make('div', { className: 'state' }, this.reason, this.share)),
      make('div', { className: 'track' }, this.canvas),
      this.details);
    this.more.addEventListener('click', () => {
      show(this.details, this.details.hidden);
      this.more.setAttribute('aria-expanded', String(!this.details.hidden));
      this.describe();
    });
    removal.addEventListener('click', () => this.desk.remove(this));
    play.addEventListener('click', () => this.desk.play(this, now() - 60_000));
    this.desk.window.attach(this.canvas, this, (at) => this.desk.play(this, at));
    this.canvas.addEventListener('keydown', (event) => this.#key(event));
    this.canvas.addEventListener('blur', () => { this.cursor = null; this.desk.hover(null, null, this); });
  }

  #key(event) {
    const { window: time } = this.desk;
    const { from, to } = time.view;
    const step = (to - from) * (event.shiftKey ? 0.1 : 0.005);
    const start = this.cursor ?? Math.min(now(), to) - (to - from) * 0.005;
    let at = null;
    if (event.key === 'ArrowLeft') at = start - step;
    else if (event.key === 'ArrowRight') at = Math.min(start + step, now());
    else if (event.key === 'Home') at = from;
    else if (event.key === 'End') at = Math.min(to, now());
    else if (event.key === 'PageUp') time.panBy(-0.8);
    else if (event.key === 'PageDown') time.panBy(0.8);
    else if (event.key === '+' || event.key === '=') time.zoomBy(0.5, this.cursor);
    else if (event.key === '-') time.zoomBy(2, this.cursor);
    else if (event.key === 'Enter' || event.key === ' ') this.desk.play(this, start);
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (at === null) return;
    this.cursor = at;
    time.reveal(at);
    const box = this.canvas.getBoundingClientRect();
    this.desk.hover(at, { clientX: box.left + time.xOf(at, this.canvas), clientY: box.top + box.height / 2 }, this);
    this.canvas.setAttribute('aria-valuenow', String(Math.round(at / 1000)));
    this.canvas.setAttribute('aria-valuetext', `${fullTime(at, this.desk.zone)}: ${this.wordsAt(at)}`);
  }

  /** What was going on at this instant, in words. */
  wordsAt(at) {
    if (at > now()) return 'In the future';
    if (spanAt(this.footage.refilled, at)) return 'Recorded by the camera itself, and fetched afterwards';
    if (spanAt(this.footage.recorded(this.health), at)) return 'Recorded';
    // A gap thinner than the pointer is still meant when it is drawn under it.
    const reach = ((this.desk.window.span) / Math.max(1, this.canvas.clientWidth)) * 2;
    const gaps = this.footage.missing(this.camera, this.health);
    const gap = spanAt(gaps, at) ?? gaps.find((g) => g.start - reach <= at && at < g.end + reach);
    if (gap) return this.gapWords(gap);
    return this.footage.from <= at && at <= this.footage.to ? 'No footage' : 'Loading …';
  }

  gapWords(gap) {
    const { zone } = this.desk;
    const lasts = now() - gap.end < 3000;
    const until = lasts ? 'now' : clock(gap.end, zone);
    if (isQuiet(gap.cause)) return `Nothing expected ${clock(gap.start, zone)} – ${until}: ${causeWords(gap.cause)}`;
    const fate = fillWords(gap.fill, this.camera.anr_enabled);
    return `Gap ${clock(gap.start, zone)} – ${until} (${durationWords(gap.end - gap.start)}): ${causeWords(gap.cause)}${fate}`;
  }

  /** Brings the words up to date. */
  describe() {
    const { camera, health } = this;
    const { zone } = this.desk;
    const at = now();
    const state = health?.state ?? (camera.enabled === false ? 'disabled' : 'connecting');
    const title = camera.name || camera.id;
    say(this.name, title);
    this.name.title = `${title} (${camera.id})`;
    say(this.badge, STATE_WORDS[state] ?? state);
    this.badge.dataset.tone = STATE_TONE[state] ?? 'quiet';
    this.node.dataset.tone = STATE_TONE[state] ?? 'quiet';
    const since = Date.parse(health?.since ?? '');
    const row = { state, loss: health?.loss, message: health?.message };
    const live = state === 'recording';
    let reason = live ? [fpsWords(health?.frames_per_second), rateWords(health?.bytes_per_second)].join(' · ') : reasonWords(row);
    if (this.footage.trouble) reason = `No timeline: ${this.footage.trouble}`;
    say(this.reason, reason);
    this.reason.title = health?.message ?? '';
    if (Number.isFinite(since)) {
      say(this.since, sinceWords(since, at, zone));
      this.since.title = `${fullTime(since, zone)}\n${utcTime(since)}`;
    } else say(this.since, '');
    const view = this.desk.window.view;
    const recorded = this.footage.recorded(health);
    let words = '';
    const begin = Math.max(view.from, Math.min(this.footage.begins(camera), at));
    const end = Math.min(view.to, at);
    if (end - begin > 5000 && this.footage.from <= begin && state !== 'disabled') {
      const lag = live && recorded.length && end - recorded[recorded.length - 1].end < 8000 ? recorded[recorded.length - 1].end : end;
      const quiet = unite(this.footage.missing(camera, health).filter((g) => isQuiet(g.cause)));
      const missing = holes(unite([...recorded, ...quiet]), begin, lag, 2000).length;
      const expected = lag - begin - covered(quiet, begin, lag);
      // Seams of up to two seconds are no loss: a bar without a hole is whole.
      const share = missing === 0 ? 1 : covered(recorded, begin, lag) / expected;
      words = expected > 0 ? percentWords(share) : '';
    }
    say(this.share, words);
    this.canvas.setAttribute('aria-label', `Timeline of ${title}. Arrow keys move, Enter plays, plus and minus zoom.`);
    this.canvas.setAttribute('aria-valuemin', String(Math.round(view.from / 1000)));
    this.canvas.setAttribute('aria-valuemax', String(Math.round(view.to / 1000)));
    if (this.cursor === null) {
      this.canvas.setAttribute('aria-valuenow', String(Math.round(Math.min(at, view.to) / 1000)));
      this.canvas.setAttribute('aria-valuetext', words ? `${words} of the time shown is recorded` : 'Not loaded yet');
    }
    this.more.setAttribute('aria-label', `Details of ${title}`);
    if (!this.details.hidden) this.#fillFacts();
  }

  #fillFacts() {
    const { camera, health } = this;
    const { zone } = this.desk;
    const time = (text) => (text ? `${fullTime(Date.parse(text), zone)}` : null);
    const gaps = this.footage.missing(camera, health).filter((g) => !isQuiet(g.cause) && g.end > this.desk.window.view.from && g.start < this.desk.window.view.to);
    const facts = [
      ['What the recorder says', health?.message],
      ['Id', camera.id],
      ['Source', camera.main_stream_url ?? ([camera.vendor, camera.address].filter(Boolean).join(' at ') || null)],
      ['Segment length', camera.segment_seconds ? `${camera.segment_seconds} s` : null],
      ['Sound', camera.record_audio === undefined ? null : camera.record_audio ? 'recorded' : 'not recorded'],
      ['Kept for', camera.retention_hours ? durationWords(camera.retention_hours * 3_600_000) : 'as long as there is room'],
      ['Last frame', time(health?.last_frame_at)],
      ['Frames are dated', health?.ticks_believed === false ? 'by their arrival: the camera\u2019s timestamps do not keep time' : null],
      ['Reconnects', health?.reconnects === undefined ? null : String(health.reconnects)],
      ['Gaps shown', gaps.length ? gaps.slice(-4).reverse().map((g) => this.gapWords(g).replace(/^Gap /, '')).join('\n') : 'none'],
    ].filter(([, value]) => value);
    const key = JSON.stringify(facts);
    if (key === this.shownFacts) return;
    this.shownFacts = key;
    this.facts.replaceChildren(...facts.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
  }

  /** Draws the bar. */
  draw(hover, head) {
    if (!this.visible) return;
    const { window: time, zone } = this.desk;
    const recorded = this.footage.recorded(this.health);
    const live = this.health?.state === 'recording' && recorded.length > 0 && now() - recorded[recorded.length - 1].end < 10_000;
    drawLane(this.canvas, {
      view: time.view, zone, now: now(), hover, head, recorded, refilled: this.footage.refilled, gaps: this.footage.missing(this.camera, this.health),
      growing: live ? this.openSince ?? recorded[recorded.length - 1].end : null,
    });
  }
}
