// Time, as a person reads it. Pure: every function takes the instant (milliseconds since the epoch) and the
// IANA zone, so that the axis can be tested on days of 23 and 25 hours without a browser.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const QUARTER = 15 * MINUTE;

export const units = { SECOND, MINUTE, HOUR, DAY };

const formatters = new Map();

function formatter(zone) {
  let found = formatters.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat('en-CA', {
      timeZone: zone, calendar: 'iso8601', numberingSystem: 'latn', hourCycle: 'h23',
      year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
    });
    formatters.set(zone, found);
  }
  return found;
}

const offsets = new Map();

/** How far the zone's clocks are ahead of UTC at this instant, in milliseconds. */
export function offsetAt(at, zone) {
  // No zone changes its offset inside a quarter of an hour, so one look-up a quarter serves a whole drawing.
  const quarter = Math.floor(at / QUARTER);
  const key = `${zone} ${quarter}`;
  const known = offsets.get(key);
  if (known !== undefined) return known;
  const instant = quarter * QUARTER;
  const p = {};
  for (const { type, value } of formatter(zone).formatToParts(instant)) p[type] = Number(value);
  const offset = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - instant;
  if (offsets.size > 20000) offsets.clear();
  offsets.set(key, offset);
  return offset;
}

/** The zone's calendar and clock at this instant. */
export function localParts(at, zone) {
  const shifted = new Date(at + offsetAt(at, zone));
  return {
    year: shifted.getUTCFullYear(), month: shifted.getUTCMonth() + 1, day: shifted.getUTCDate(),
    weekday: shifted.getUTCDay(), hour: shifted.getUTCHours(), minute: shifted.getUTCMinutes(),
    second: shifted.getUTCSeconds(), milli: shifted.getUTCMilliseconds(),
  };
}

const two = (n) => String(n).padStart(2, '0');

/** The local date as YYYY-MM-DD, the form a date input speaks. */
export function dayOf(at, zone) {
  const p = localParts(at, zone);
  return `${String(p.year).padStart(4, '0')}-${two(p.month)}-${two(p.day)}`;
}

/** The first instant of a local day. Midnight itself may be missing or come twice where clocks change at midnight. */
export function startOfDay(day, zone) {
  const [year, month, date] = day.split('-').map(Number);
  const midnight = Date.UTC(year, month - 1, date);
  // Walk from safely before (no zone is further than 14 h ahead, and a change moves a clock by hours at most).
  let at = midnight - 15 * HOUR;
  while (dayOf(at, zone) < day) at += QUARTER;
  return at;
}

/** The day after (or `count` days after) a YYYY-MM-DD. */
export function addDays(day, count) {
  const [year, month, date] = day.split('-').map(Number);
  return new Date(Date.UTC(year, month - 1, date + count)).toISOString().slice(0, 10);
}

/** From the first instant of a local day to the first of the next: 23, 24 or 25 hours. */
export function daySpan(day, zone) {
  return { from: startOfDay(day, zone), to: startOfDay(addDays(day, 1), zone) };
}

const STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
].map((s) => s * SECOND).concat([DAY, 2 * DAY, 7 * DAY, 14 * DAY]);

/** The smallest step whose ticks stand at least `room` pixels apart. */
export function tickStep(span, width, room = 84) {
  const wanted = span / Math.max(1, Math.floor(width / room));
  return STEPS.find((step) => step >= wanted) ?? STEPS[STEPS.length - 1];
}

/**
 * The marks of the time axis: `{at, label, day}`, `day` set where a new local day begins. Ticks stand on round local
 * times; an hour that a clock change skips has none, one that comes twice has two, told apart by their offset.
 */
export function ticks(from, to, width, zone, room = 84) {
  const step = tickStep(to - from, width, room);
  const marks = [];
  if (step >= DAY) {
    const every = step / DAY;
    for (let day = dayOf(from, zone); ; day = addDays(day, 1)) {
      const at = startOfDay(day, zone);
      if (at >= to) break;
      const number = Math.round(Date.parse(`${day}T00:00:00Z`) / DAY);
      if (at >= from && number % every === 0) marks.push({ at, label: shortDay(at, zone), day: true });
    }
    return marks;
  }
  // Every round local time is also a round instant on the grid of the smaller of the step and a quarter of an hour.
  const grid = Math.min(step, QUARTER);
  for (let at = Math.ceil(from / grid) * grid; at < to; at += grid) {
    const p = localParts(at, zone);
    const sinceMidnight = ((p.hour * 60 + p.minute) * 60 + p.second) * SECOND + p.milli;
    if (sinceMidnight % step !== 0) continue;
    const day = sinceMidnight === 0 && dayOf(at - 1, zone) !== dayOf(at, zone);
    let label = step < MINUTE ? clock(at, zone) : clock(at, zone).slice(0, 5);
    if (isDoubled(at, zone)) label += ` ${offsetWords(at, zone)}`;
    marks.push({ at, label: day ? shortDay(at, zone) : label, day });
  }
  return marks;
}

/** Whether this local time comes twice, because a clock was put back. */
function isDoubled(at, zone) {
  const here = offsetAt(at, zone);
  for (const shift of [HOUR, HOUR / 2]) {
    if (here - offsetAt(at + shift, zone) === shift || offsetAt(at - shift, zone) - here === shift) return true;
  }
  return false;
}

/** 14:03:10, or 14:03:10.250 when thousandths are wanted. */
export function clock(at, zone, millis = false) {
  const p = localParts(at, zone);
  const text = `${two(p.hour)}:${two(p.minute)}:${two(p.second)}`;
  return millis ? `${text}.${String(p.milli).padStart(3, '0')}` : text;
}

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Fri 20 Nov */
export function shortDay(at, zone) {
  const p = localParts(at, zone);
  return `${WEEKDAYS[p.weekday]} ${p.day} ${MONTHS[p.month - 1]}`;
}

/** Fri 20 Nov 2026, 14:03:10 */
export function fullTime(at, zone, millis = false) {
  return `${shortDay(at, zone)} ${localParts(at, zone).year}, ${clock(at, zone, millis)}`;
}

/** The same instant in UTC: 2026-11-20 13:03:10 UTC */
export function utcTime(at) {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** +01:00 */
export function offsetWords(at, zone) {
  const minutes = Math.round(offsetAt(at, zone) / MINUTE);
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '−' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** Europe/Berlin, UTC+01:00 */
export function zoneWords(at, zone) {
  if (zone === 'UTC' || zone === 'Etc/UTC') return 'UTC';
  return `${zone.replaceAll('_', ' ')}, UTC${offsetWords(at, zone)}`;
}

/** A length of time in words, with at most two units: 0.4 s, 12 s, 2 min 10 s, 3 h 5 min, 2 days 4 h. */
export function durationWords(millis) {
  const size = Math.max(0, millis);
  if (size < SECOND) return `${(Math.floor(size / 100) / 10).toFixed(1)} s`;
  const seconds = Math.round(size / SECOND);
  const pair = (big, bigName, small, smallName) => (small ? `${big} ${bigName} ${small} ${smallName}` : `${big} ${bigName}`);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  const days = Math.floor(hours / 24);
  return pair(days, days === 1 ? 'day' : 'days', hours % 24, 'h');
}

/** The length of a local day where it is not 24 hours, else nothing. */
export function oddDayWords(day, zone) {
  const { from, to } = daySpan(day, zone);
  if (to - from === DAY) return '';
  return `${(to - from) / HOUR} hours: the clocks go ${to - from < DAY ? 'forward' : 'back'}`;
}

/** How long ago, coarsely enough not to flicker: 8 s, 2 min, 3 h, 2 days. */
export function agoWords(millis) {
  const seconds = Math.max(0, Math.round(millis / SECOND));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return durationWords(Math.floor(seconds / 60) * MINUTE);
}

/** How long something has lasted, and when it began, as finely as matters: since 14:03:10 (2 min). */
export function sinceWords(at, now, zone) {
  const lasted = now - at;
  const begin = clock(at, zone);
  if (dayOf(at, zone) !== dayOf(now, zone)) return `since ${shortDay(at, zone)}, ${begin.slice(0, 5)}`;
  return `since ${lasted < HOUR ? begin : begin.slice(0, 5)} (${agoWords(lasted)})`;
}

/** A time beside now: the clock alone today, with the date on other days. */
export function momentWords(at, now, zone) {
  return dayOf(at, zone) === dayOf(now, zone) ? clock(at, zone) : `${shortDay(at, zone)} ${clock(at, zone)}`;
}
