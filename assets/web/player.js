// Plays one camera's footage as if it were one film: finds the segment of a moment, seeks in it, goes on into the next.

import { fetchSegments, fileTrouble, now } from './api.js';
import { byId, say, show } from './dom.js';
import { segmentAfter, segmentAt, segmentBefore } from './find.js';
import { clock, durationWords, fullTime, momentWords, offsetWords, shortDay, utcTime } from './time.js';
import { isH265, segmentWords, unplayableWords } from './words.js';

/** Holes up to this long are seams that need no word. */
const SEAM = 2000;
/** How long before a segment's end the next file is opened. */
const AHEAD = 6;

/** The player beside the lanes. `onMove(camera, at)` is called as the shown moment
 *  changes, `onMove(null, camera, hadFocus)` when it is closed. */
export class Player {
  constructor(zone, onMove) {
    this.zone = zone;
    this.onMove = onMove;
    this.panel = byId('player');
    this.videos = [byId('video-a'), byId('video-b')];
    this.camera = null;
    this.segment = null;
    this.following = null;
    this.turn = 0;
    this.wantsPlay = true;
    this.retries = 0;
    for (const video of this.videos) this.#listen(video);
    byId('player-close').addEventListener('click', () => this.close());
    byId('play').addEventListener('click', () => this.toggle());
    byId('back').addEventListener('click', () => this.jump(-10_000));
    byId('on').addEventListener('click', () => this.jump(10_000));
    byId('prev').addEventListener('click', () => this.previous());
    byId('next').addEventListener('click', () => this.next());
    byId('speed').addEventListener('change', () => this.#applySettings());
    byId('mute').addEventListener('click', () => this.#toggleSound());
    byId('full').addEventListener('click', () => this.#toggleFullScreen());
    byId('scrub').addEventListener('input', () => this.#scrub());
    const frame = () => {
      this.#showMoment();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  get video() { return this.videos[0]; }
  get isOpen() { return this.camera !== null; }

  /** The wall-clock instant on screen, or null. */
  get moment() {
    if (!this.segment) return null;
    // A film that is being loaded stands at its start until it is where it is wanted.
    return this.segment.start + (this.wanted ?? this.video.currentTime * 1000);
  }

  /** Opens the player at a moment of a camera. */
  async open(camera, at, { play = true } = {}) {
    const turn = ++this.turn;
    // Another camera's picture must never stand beside this one's name.
    if (camera.id !== this.camera?.id) this.#clear();
    this.camera = camera;
    this.wantsPlay = play;
    clearTimeout(this.waiting);
    show(this.panel, true);
    document.body.classList.add('playing');
    say(byId('player-name'), camera.name || camera.id);
    this.#note('');
    this.#stageNote('Loading …');
    this.onMove(camera, at);
    try {
      const found = await segmentAt(camera.id, at);
      if (turn !== this.turn) return;
      if (!found) {
        this.#clear();
        this.#stageNote('Nothing is recorded at this time, nor after it.');
        return;
      }
      this.#load(found, Math.min(Math.max(0, at - found.start), found.end - found.start));
      if (found.start > at) {
        this.#note(`No footage at ${clock(at, this.zone)}; this is the next, ${durationWords(found.start - at)} later.`);
      } else if (found.end < at - SEAM) {
        this.#note(`No footage at ${clock(at, this.zone)} or after; this is the last before it.`);
      }
    } catch (error) {
      if (turn === this.turn) {
        this.#clear();
        this.#stageNote(error.message);
      }
    }
  }

  #load(segment, offset) {
    const [shown, spare] = this.videos;
    this.segment = segment;
    this.following = null;
    this.wanted = offset;
    this.#describe();
    if (isH265(segment.codec) && shown.canPlayType('video/mp4; codecs="hvc1.1.6.L120.90"') === '') {
      this.#unplayable();
      this.#lookAhead();
      return;
    }
    if (spare.dataset.segment === this.#key(segment) && offset < 1500 && !spare.error) {
      this.videos = [spare, shown];
      show(spare, true);
      show(shown, false);
      shown.pause();
      this.#forget(shown);
      this.#stageNote('');
      this.#applySettings();
      spare.currentTime = offset / 1000;
    } else {
      this.#stageNote('Loading …');
      shown.dataset.segment = this.#key(segment);
      shown.preload = 'auto';
      shown.src = this.#address(segment);
      this.#applySettings();
    }
    if (this.wantsPlay) this.#play();
    this.#lookAhead();
  }

  // An open segment's file grows: its address carries how far it had grown, so that no cache answers with less. One without a
  // file has the address of a clip, which says so itself.
  #address(segment) {
    const isGrowingFile = segment.open && !segment.url.includes('?');
    return isGrowingFile ? `${segment.url}?until=${segment.end}` : segment.url;
  }

  #key(segment) { return `${segment.id ?? segment.url} ${segment.open ? segment.end : ''}`; }

  async #lookAhead() {
    const { segment, turn } = this;
    if (segment.open) return;
    try {
      const next = await segmentAfter(this.camera.id, segment);
      if (segment === this.segment && turn === this.turn) this.following = next;
    } catch {
      // The next attempt is made when the segment ends.
    }
  }

  #listen(video) {
    const mine = (act) => (event) => { if (video === this.video && this.segment) act(event); };
    video.addEventListener('loadedmetadata', mine(() => {
      if (video.videoWidth === 0) {
        this.#unplayable();
        return;
      }
      const last = Number.isFinite(video.duration) ? Math.max(0, video.duration - 0.5 / (this.segment.fps || 25)) : Infinity;
      video.currentTime = Math.min((this.wanted ?? 0) / 1000, last);
      this.#applySettings();
    }));
    video.addEventListener('seeked', mine(() => { this.wanted = null; this.#stageNote(''); }));
    video.addEventListener('canplay', mine(() => this.#stageNote('')));
    video.addEventListener('waiting', mine(() => this.#stageNote('Loading …')));
    video.addEventListener('playing', mine(() => { this.retries = 0; this.#stageNote(''); this.#showPlay(); }));
    video.addEventListener('pause', mine(() => this.#showPlay()));
    video.addEventListener('timeupdate', mine(() => this.#prepare()));
    video.addEventListener('ended', mine(() => this.#goOn()));
    video.addEventListener('error', mine(() => this.#explain(video)));
    video.addEventListener('click', () => this.toggle());
  }

  /** Opens the next file a little before it is needed. */
  #prepare() {
    const [shown, spare] = this.videos;
    const next = this.following;
    if (!next || next.open || isH265(next.codec)) return;
    if (shown.duration - shown.currentTime > AHEAD * Math.max(1, shown.playbackRate)) return;
    const key = this.#key(next);
    if (spare.dataset.segment === key) return;
    spare.dataset.segment = key;
    spare.preload = 'auto';
    spare.src = this.#address(next);
  }

  async #goOn() {
    const { segment, turn } = this;
    if (this.following) {
      this.#enter(this.following);
      return;
    }
    try {
      if (segment.open) {
        const again = (await fetchSegments(this.camera.id, segment.start, segment.start + 1, 3)).find((s) => s.id === segment.id);
        if (turn !== this.turn || segment !== this.segment) return;
        if (again && again.end > segment.end + 500) {
          this.#extend(again);
          return;
        }
        if (again && !again.open) this.segment = again;
      }
      const next = await segmentAfter(this.camera.id, this.segment);
      if (turn !== this.turn) return;
      if (next) {
        this.#enter(next);
        return;
      }
    } catch (error) {
      if (!error.unreachable) { this.#stageNote(error.message); return; }
    }
    this.#note('This is the newest footage; it goes on as more is recorded.');
    this.#waitForMore(1000);
  }

  #waitForMore(millis) {
    const { turn, segment } = this;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      if (turn === this.turn && segment === this.segment && this.wantsPlay) this.#goOn();
    }, millis);
  }

  /** The same segment, grown: opened behind the picture and shown once it stands at the same place. */
  #extend(grown) {
    const [shown, spare] = this.videos;
    const { turn, segment } = this;
    const at = shown.currentTime;
    const still = () => turn === this.turn && segment === this.segment;
    const loaded = new AbortController();
    const { signal } = loaded;
    const later = () => { loaded.abort(); if (still()) this.#waitForMore(1000); };
    spare.addEventListener('loadedmetadata', () => {
      // The row grows before the file does. At its end a video that is told to play begins again at its start.
      if (spare.duration > at + 0.05) spare.currentTime = at;
      else later();
    }, { signal });
    spare.addEventListener('error', later, { signal });
    spare.addEventListener('seeked', () => {
      loaded.abort();
      if (!still()) return;
      this.videos = [spare, shown];
      this.segment = grown;
      this.following = null;
      this.wanted = null;
      show(spare, true);
      show(shown, false);
      this.#forget(shown);
      this.#describe();
      this.#applySettings();
      if (this.wantsPlay) this.#play();
      this.#lookAhead();
    }, { signal });
    spare.dataset.segment = this.#key(grown);
    spare.preload = 'auto';
    spare.src = this.#address(grown);
  }

  #enter(next) {
    const hole = next.start - this.segment.end;
    this.#note(hole > SEAM ? `Went on over a gap of ${durationWords(hole)}, from ${clock(this.segment.end, this.zone)} to ${clock(next.start, this.zone)}.` : '');
    this.#load(next, 0);
  }

  /** On to the next segment. */
  next() {
    if (!this.segment) return;
    if (this.following) this.#enter(this.following);
    else if (this.segment.open) this.#note('This is the newest segment.');
    else this.#goOn();
  }

  /** Back to the segment before, or to this one's beginning when well inside it. */
  async previous() {
    const { segment, turn } = this;
    if (!segment) return;
    if (this.video.currentTime > 3) {
      this.video.currentTime = 0;
      return;
    }
    try {
      const before = await segmentBefore(this.camera.id, segment.start);
      if (turn !== this.turn || segment !== this.segment) return;
      if (before && before.start < segment.start) { this.#note(''); this.#load(before, 0); } else this.#note('There is nothing before this segment.');
    } catch (error) {
      this.#note(error.message);
    }
  }

  /** Moves by so many milliseconds of wall clock, over segments and gaps. */
  jump(by) {
    const at = this.moment;
    if (at === null) return;
    const target = Math.min(at + by, now());
    if (target >= this.segment.start && target < this.segment.end - 200) {
      this.video.currentTime = (target - this.segment.start) / 1000;
      if (this.wantsPlay) this.#play();
    } else this.open(this.camera, target, { play: this.wantsPlay });
  }

  /** One frame on or back, over the ends of segments, while paused. */
  async step(direction) {
    const { segment, turn, video } = this;
    if (!segment) return;
    this.wantsPlay = false;
    video.pause();
    const frame = 1 / (segment.fps || 25);
    const here = video.ended ? video.duration - frame / 2 : video.currentTime;
    const target = here + direction * frame;
    const length = Number.isFinite(video.duration) ? video.duration : Infinity;
    if (target > -frame / 2 && target < length - frame / 4) {
      video.currentTime = Math.max(0, target);
      return;
    }
    try {
      const next = direction > 0 ? this.following ?? await segmentAfter(this.camera.id, segment) : await segmentBefore(this.camera.id, segment.start);
      if (turn !== this.turn || segment !== this.segment) return;
      if (!next) this.#note(direction > 0 ? 'This is the newest frame.' : 'There is nothing before this frame.');
      else if (direction > 0) this.#enter(next);
      else this.#load(next, next.end - next.start);
    } catch (error) {
      this.#note(error.message);
    }
  }

  toggle() {
    if (!this.segment) return;
    this.wantsPlay = this.video.paused;
    if (this.wantsPlay) this.#play();
    else this.video.pause();
    this.#showPlay();
  }

  #play() {
    // Told to play at its end, a video would begin again at its start.
    if (this.video.ended) { this.#goOn(); return; }
    this.video.play().catch((error) => {
      // A browser may refuse to start by itself; the person then presses Play.
      if (error.name === 'NotAllowedError') { this.wantsPlay = false; this.#stageNote('Press Play.'); this.#showPlay(); }
    });
  }

  #showPlay() { say(byId('play'), this.video.paused ? 'Play' : 'Pause'); }

  #applySettings() {
    const speed = Number(byId('speed').value);
    const silent = byId('mute').getAttribute('aria-pressed') === 'true';
    for (const video of this.videos) {
      video.defaultPlaybackRate = speed;
      video.playbackRate = speed;
      video.muted = silent;
    }
  }

  #toggleSound() {
    const silent = byId('mute').getAttribute('aria-pressed') !== 'true';
    byId('mute').setAttribute('aria-pressed', String(silent));
    byId('mute').title = silent ? 'Sound is off' : 'Sound is on';
    byId('mute').setAttribute('aria-label', 'Sound off');
    this.#applySettings();
  }

  #toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else byId('stage').requestFullscreen?.().catch(() => this.#note('This browser does not allow full screen here.'));
  }

  #scrub() {
    if (!this.segment) return;
    const length = Number.isFinite(this.video.duration) ? this.video.duration : (this.segment.end - this.segment.start) / 1000;
    this.video.currentTime = (Number(byId('scrub').value) / 1000) * length;
  }

  #unplayable() {
    for (const video of this.videos) {
      video.pause();
      this.#forget(video);
    }
    this.wantsPlay = false;
    this.#showPlay();
    this.#stageNote(unplayableWords(this.segment.codec));
  }

  async #explain(video) {
    if (!video.getAttribute('src')) return;
    const { segment, turn } = this;
    if (segment.open && this.retries < 5) {
      // The file was closed, and so rewritten, while it was read: ask for it as it is now.
      this.retries += 1;
      const at = this.shownMoment ?? this.moment;
      clearTimeout(this.waiting);
      this.waiting = setTimeout(async () => {
        const found = await segmentAt(this.camera.id, at).catch(() => null);
        if (found && turn === this.turn && segment === this.segment) this.#load(found, Math.max(0, at - found.start));
      }, 700);
      return;
    }
    const trouble = await fileTrouble(this.#address(segment));
    if (segment !== this.segment) return;
    if (trouble) this.#stageNote(trouble);
    else this.#unplayable();
  }

  #describe() {
    const s = this.segment;
    const until = s.open ? 'still open' : clock(s.end, this.zone);
    say(byId('segment-words'), [`Segment ${momentWords(s.start, now(), this.zone)} – ${until}`, ...segmentWords(s)].join(' · '));
    const link = byId('download');
    link.href = s.url;
    link.download = decodeURIComponent(s.url.split('?')[0].split('/').pop());
    show(link, true);
  }

  #showMoment() {
    const at = this.moment;
    if (at === null || at === this.shownMoment) return;
    this.shownMoment = at;
    const slow = this.video.paused || this.video.playbackRate < 1;
    const node = byId('player-clock');
    say(node, slow ? clock(at, this.zone, true) : clock(at, this.zone));
    node.dateTime = new Date(at).toISOString();
    node.title = utcTime(at);
    say(byId('player-date'), `${shortDay(at, this.zone)} ${fullTime(at, this.zone).slice(-14, -10)} · UTC${offsetWords(at, this.zone)}`);
    const bar = byId('scrub');
    const length = Number.isFinite(this.video.duration) ? this.video.duration * 1000 : this.segment.end - this.segment.start;
    if (document.activeElement !== bar || !this.video.paused) bar.value = String(Math.round(((at - this.segment.start) / length) * 1000));
    bar.setAttribute('aria-valuetext', fullTime(at, this.zone));
    this.onMove(this.camera, at);
  }

  #forget(video) {
    video.removeAttribute('src');
    delete video.dataset.segment;
    video.load();
  }

  #clear() {
    this.segment = null;
    this.following = null;
    this.shownMoment = undefined;
    clearTimeout(this.waiting);
    for (const video of this.videos) {
      video.pause();
      this.#forget(video);
    }
    say(byId('player-clock'), '–');
    say(byId('player-date'), '');
    say(byId('segment-words'), '');
    show(byId('download'), false);
    this.#showPlay();
  }

  #note(text) { say(byId('player-note'), text); }

  #stageNote(text) {
    say(byId('stage-note'), text);
    show(byId('stage-note'), text !== '');
  }

  close() {
    this.turn += 1;
    const { camera } = this;
    const hadFocus = this.panel.contains(document.activeElement);
    this.camera = null;
    this.#clear();
    this.#note('');
    show(this.panel, false);
    document.body.classList.remove('playing');
    this.onMove(null, camera, hadFocus);
  }
}
