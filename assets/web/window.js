// The stretch of time that all lanes show, and the hands that move it: wheel, drag, pinch, keys.

import { now } from './api.js';
import { LONGEST, following, pan, timeOf, xOf, zoom } from './spans.js';
import { dayOf, daySpan } from './time.js';

const DRAG = 5;

/** The shared window. `onChange` is called after every change of it, `onHover(at | null, event, owner)` as the pointer moves. */
export class TimeWindow {
  constructor(zone, { onChange, onHover }) {
    this.zone = zone;
    this.onChange = onChange;
    this.onHover = onHover;
    this.follows = true;
    this.day = null;
    this.view = following(3_600_000, now());
  }

  get span() { return this.view.to - this.view.from; }

  /** The last `span` milliseconds, and on with the clock. */
  follow(span = this.span) {
    this.follows = true;
    this.day = null;
    this.view = following(Math.min(span, LONGEST), now());
    this.onChange();
  }

  /** One local day, of however many hours. */
  showDay(day) {
    this.follows = false;
    this.day = day;
    this.view = daySpan(day, this.zone);
    this.onChange();
  }

  /** Called with the clock. */
  tick() {
    if (this.follows) this.view = following(this.span, now());
  }

  /** The latest instant a gesture may bring into view: the end of today. */
  get #latest() { return Math.max(this.view.to, daySpan(dayOf(now(), this.zone), this.zone).to); }

  #free(view) {
    this.follows = false;
    this.day = null;
    this.view = view;
    this.onChange();
  }

  /** Zooms around an instant; without one, around now while following, else around the middle. */
  zoomBy(factor, anchor = null) {
    if (anchor === null && this.follows) {
      this.follow(Math.max(10_000, this.span * factor));
      return;
    }
    const latest = this.#latest;
    const view = zoom(this.view, factor, anchor ?? (this.view.from + this.view.to) / 2);
    this.#free(view.to > latest ? pan(view, latest - view.to) : view);
  }

  /** Moves by a share of the window. */
  panBy(share) { this.#free(pan(this.view, this.span * share, this.#latest)); }

  /** Brings an instant into view without changing the scale. */
  reveal(at) {
    if (at < this.view.from || at > this.view.to) this.#free(pan(this.view, at - (this.view.from + this.view.to) / 2, this.#latest));
  }

  /** Listens to a canvas; `onPick(at)` is called for a click. */
  attach(canvas, owner, onPick) {
    const fingers = new Map();
    let start = null;
    let moved = false;
    let pinch = null;
    const xIn = (event) => event.clientX - canvas.getBoundingClientRect().left;
    const at = (x) => timeOf(x, this.view, canvas.clientWidth);

    const beginPinch = () => {
      const [a, b] = [...fingers.values()];
      pinch = { a: at(a), b: at(b) };
    };
    canvas.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'mouse' && event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, xIn(event));
      if (fingers.size === 1) {
        start = { x: xIn(event), view: { ...this.view } };
        moved = false;
      } else if (fingers.size === 2) {
        moved = true;
        beginPinch();
      }
    });
    canvas.addEventListener('pointermove', (event) => {
      const x = xIn(event);
      if (!fingers.has(event.pointerId)) {
        if (event.pointerType !== 'touch') this.onHover(at(x), event, owner);
        return;
      }
      fingers.set(event.pointerId, x);
      if (pinch && fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        if (Math.abs(b - a) < 8) return;
        const span = Math.min(LONGEST, Math.max(10_000, ((pinch.b - pinch.a) / (b - a)) * canvas.clientWidth));
        const from = pinch.a - (a / canvas.clientWidth) * span;
        if (span > 0) this.#free({ from, to: from + span });
      } else if (start && (moved || Math.abs(x - start.x) > DRAG)) {
        moved = true;
        canvas.classList.add('dragging');
        const by = ((start.x - x) / canvas.clientWidth) * (start.view.to - start.view.from);
        this.#free(pan(start.view, by, Math.max(start.view.to, this.#latest)));
        this.onHover(null, event, owner);
      }
    });
    const end = (event) => {
      if (!fingers.delete(event.pointerId)) return;
      canvas.classList.remove('dragging');
      if (event.type === 'pointerup' && !moved && start && onPick) onPick(at(xIn(event)));
      pinch = null;
      start = null;
      if (fingers.size === 1) {
        // One finger left of two goes on as a drag, never as a click.
        start = { x: [...fingers.values()][0], view: { ...this.view } };
      }
    };
    canvas.addEventListener('pointerup', end);
    canvas.addEventListener('pointercancel', end);
    canvas.addEventListener('pointerleave', (event) => this.onHover(null, event, owner));
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.panBy((sideways * unit) / canvas.clientWidth);
      else this.zoomBy(Math.exp(Math.max(-0.7, Math.min(0.7, event.deltaY * unit * 0.002))), at(xIn(event)));
      this.onHover(at(xIn(event)), event, owner);
    }, { passive: false });
  }

  /** Where an instant lies, for the tooltip of a keyboard's cursor. */
  xOf(at, canvas) { return xOf(at, this.view, canvas.clientWidth); }
}
