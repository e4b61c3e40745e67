// Taking a clip: a person marks where it begins and where it ends while watching, and fetches it when it is made.

import { callOffExport, exportJob, orderExport } from './api.js';
import { byId, make, say, show } from './dom.js';
import { clipWords, markWords, missingWords } from './words.js';

/** How often it is asked how far the clip is, in milliseconds. */
const ASK = 400;
/** How often nobody may answer before that is said; the recorder goes on meanwhile. */
const SILENCE = 10;

export class ClipMaker {
  /** `moment` gives the instant on screen, or null. */
  constructor(zone, moment) {
    this.zone = zone;
    this.moment = moment;
    this.camera = null;
    this.from = null;
    this.to = null;
    this.turn = 0;
    byId('clip-from').addEventListener('click', () => this.mark('from'));
    byId('clip-to').addEventListener('click', () => this.mark('to'));
    byId('clip-make').addEventListener('click', () => this.make());
    byId('clip-cancel').addEventListener('click', () => this.cancel());
    this.#draw();
  }

  /** The player shows another camera, or none. What is being made goes on in the recorder. */
  follow(camera) {
    const id = camera?.id ?? null;
    if (id === this.camera) return;
    this.turn += 1;
    this.camera = id;
    this.from = null;
    this.to = null;
    this.job = null;
    byId('clip-files').replaceChildren();
    this.#note('');
    this.#draw();
  }

  /** Marks the picture on screen as the first, or the last, of the clip. */
  mark(which) {
    const at = this.moment();
    if (at === null || this.job) return;
    this[which] = Math.round(at);
    // A beginning behind the end asks for another end.
    if (which === 'from' && this.to !== null && this.to <= this.from) this.to = null;
    if (which === 'to' && this.from !== null && this.from >= this.to) this.from = null;
    this.#note('');
    this.#draw();
  }

  async make() {
    if (this.job || this.from === null || this.to === null) return;
    const turn = ++this.turn;
    this.job = { id: null };
    byId('clip-files').replaceChildren();
    this.#note('');
    this.#progress(0);
    try {
      const ordered = await orderExport(this.camera, this.from, this.to);
      if (turn !== this.turn) return;
      this.job = ordered;
      const done = await this.#wait(ordered.id, turn);
      if (turn === this.turn) this.#show(done);
    } catch (error) {
      if (turn === this.turn) this.#note(error.message, true);
    } finally {
      if (turn === this.turn) { this.job = null; this.#draw(); }
    }
  }

  async #wait(id, turn) {
    for (let silent = 0; turn === this.turn;) {
      try {
        const job = await exportJob(id);
        silent = 0;
        if (job.ended_at) return job;
        this.#progress(job.progress, job.state);
      } catch (error) {
        silent += 1;
        if (!error.unreachable || silent > SILENCE) throw error;
      }
      await new Promise((go) => { setTimeout(go, ASK); });
    }
    return null;
  }

  async cancel() {
    const { job } = this;
    if (!job?.id) return;
    this.turn += 1;
    this.job = null;
    this.#draw();
    try {
      await callOffExport(job.id);
      this.#note('Called off.');
    } catch (error) {
      this.#note(error.message, true);
    }
  }

  #show(job) {
    const links = job.clips.map((clip) => make('li', {},
      make('a', { href: clip.url, download: clip.filename }, 'Download the clip'),
      make('span', { className: 'muted' }, ` ${clipWords(clip, this.zone)}`)));
    byId('clip-files').replaceChildren(...links);
    if (links.length > 1) this.#note('The camera changed its pictures in between, so there are several files.');
    if (job.error) this.#note(missingWords(job.error), true);
    else if (links.length === 0) this.#note('The clip was called off.');
  }

  #progress(share, state) {
    const bar = byId('clip-progress');
    if (state === 'queued') bar.removeAttribute('value');
    else bar.value = share ?? 0;
    this.#draw();
  }

  #draw() {
    const busy = Boolean(this.job);
    const [make, cancel] = [byId('clip-make'), byId('clip-cancel')];
    const held = document.activeElement;
    const idle = this.camera === null || busy;
    byId('clip-from').disabled = idle;
    byId('clip-to').disabled = idle;
    byId('clip-make').disabled = idle || this.from === null || this.to === null;
    show(make, !busy);
    show(cancel, busy);
    // The button that takes the place of the one with the focus gets it, so that the keys go on from there.
    if (busy && held === make) cancel.focus({ preventScroll: true });
    if (!busy && held === cancel) (byId('clip-files').querySelector('a') ?? make).focus({ preventScroll: true });
    show(byId('clip-progress'), busy);
    say(byId('clip-span'), markWords(this.from, this.to, this.zone));
  }

  #note(text, bad = false) {
    const node = byId('clip-note');
    node.dataset.tone = bad ? 'bad' : 'quiet';
    say(node, text);
  }
}
