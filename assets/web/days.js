// The days with footage: a month of them, one small button a day, and how many cameras have something of it.

import { fetchDays, now } from './api.js';
import { make, say } from './dom.js';
import { addDays, dayOf, fullTime, startOfDay } from './time.js';

/** How often all cameras are asked for their days; a new day begins once a day. */
const EVERY = 60_000;

/** The days of the month that a day (`2026-11-20`) lies in. */
export function monthOf(day) {
  const days = [];
  for (let at = `${day.slice(0, 8)}01`; at.slice(0, 7) === day.slice(0, 7); at = addDays(at, 1)) days.push(at);
  return days;
}

/** How many cameras have footage of each day. */
export function countDays(lists) {
  const counts = new Map();
  for (const list of lists) for (const day of new Set(list)) counts.set(day, (counts.get(day) ?? 0) + 1);
  return counts;
}

/** What a day's button says when it is pointed at. */
export function dayWords(count, cameras) {
  if (!count) return 'no footage';
  if (cameras === 1) return 'footage';
  return count === cameras ? 'footage of every camera' : `footage of ${count} of ${cameras} cameras`;
}

/** The strip of days. `onPick(day)` shows one. */
export class Days {
  constructor(node, zone, onPick) {
    this.node = node;
    this.zone = zone;
    this.lists = new Map();
    this.asked = -Infinity;
    this.shown = '';
    node.addEventListener('click', (event) => {
      const day = event.target.closest?.('button')?.dataset.day;
      if (day) onPick(day);
    });
  }

  /** Asks for the days of these cameras, when it is time to. Answers whether anything is new. */
  async refresh(cameras) {
    const at = now();
    const known = cameras.length === this.lists.size && cameras.every((id) => this.lists.has(id));
    if (this.busy || (known && at - this.asked < EVERY)) return false;
    this.busy = true;
    this.asked = at;
    try {
      const lists = await Promise.all(cameras.map((id) => fetchDays(id, this.zone)));
      this.lists = new Map(cameras.map((id, i) => [id, lists[i]]));
      return true;
    } catch {
      // The page says elsewhere that the recorder does not answer; the days of before stay.
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** Draws the month around a day; `whole` is the day that is shown as a whole, if one is. */
  draw(day, whole) {
    const counts = countDays(this.lists.values());
    const today = dayOf(now(), this.zone);
    const key = JSON.stringify([day.slice(0, 7), whole, today, [...counts]]);
    if (key === this.shown) return;
    this.shown = key;
    const focused = this.node.contains(document.activeElement) ? document.activeElement.dataset.day : null;
    this.node.replaceChildren(...monthOf(day).map((one) => {
      const count = counts.get(one) ?? 0;
      const words = `${fullTime(startOfDay(one, this.zone), this.zone).split(',')[0]}: ${dayWords(count, this.lists.size)}`;
      const button = make('button', { type: 'button', title: words, 'aria-label': words, 'aria-pressed': String(one === whole), disabled: one > today });
      button.dataset.day = one;
      button.dataset.footage = count === 0 ? 'none' : count < this.lists.size ? 'some' : 'all';
      say(button, String(Number(one.slice(8))));
      return button;
    }));
    // On a phone the strip is wider than the screen.
    const shown = this.node.querySelector(`[data-day="${day}"]`);
    if (shown) this.node.scrollLeft = shown.offsetLeft - this.node.offsetLeft - this.node.clientWidth / 2 + shown.clientWidth / 2;
    if (focused) this.node.querySelector(`[data-day="${focused}"]`)?.focus({ preventScroll: true });
  }
}
