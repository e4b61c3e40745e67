// The operator's page: asks the recorder, keeps the lanes, ties the player and the dialogues to them.

import { fetchSegments, healthz, listCameras, listHealth, mirror, now, skew } from './api.js';
import { ClipMaker } from './clip.js';
import { Days } from './days.js';
import { byId, make, say, show } from './dom.js';
import { drawAxis, forgetColours } from './drawing.js';
import { wireAddForm, wireRemoval } from './form.js';
import { Lane } from './lane.js';
import { Player } from './player.js';
import { addDays, clock, dayOf, durationWords, fullTime, oddDayWords, shortDay, utcTime, zoneWords } from './time.js';
import { mirrorWords, overall } from './words.js';
import { TimeWindow } from './window.js';

const HEALTH_EVERY = 2000;
const CAMERAS_EVERY = 15_000;
const RETRIES = [1000, 2000, 4000, 8000];

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
const lanes = new Map();
let hovered = { at: null, owner: null };
let head = { camera: null, at: null };
let camerasAsked = -Infinity;
let failures = 0;
let retryAt = 0;
let version = '';

// ---- drawing: whatever changes asks for one drawing in the next frame ----

let drawingAsked = false;
function redraw() {
  if (drawingAsked) return;
  drawingAsked = true;
  requestAnimationFrame(() => {
    drawingAsked = false;
    drawAxis(byId('axis'), time.view, zone, now(), hovered.at);
    for (const lane of lanes.values()) lane.draw(hovered.at, head.camera === lane.id ? head.at : null);
  });
}

const time = new TimeWindow(zone, {
  onChange() {
    describeWindow();
    redraw();
    refreshSoon();
  },
  onHover: hover,
});

const days = new Days(byId('days'), zone, (day) => time.showDay(day));

function hover(at, event, owner) {
  hovered = { at, owner };
  const tip = byId('tip');
  if (at === null || !event) {
    show(tip, false);
    redraw();
    return;
  }
  const fine = time.span < 300_000;
  const lines = [make('b', {}, fullTime(at, zone, fine)), make('span', { className: 'muted' }, utcTime(at))];
  if (owner) {
    const words = owner.wordsAt(at);
    lines.push(make('span', { className: words.startsWith('Gap') ? 'tip-gap' : '' }, words));
    if (words.startsWith('Gap')) lines.push(make('span', { className: 'muted' }, 'A click plays what follows'));
  }
  tip.replaceChildren(...lines);
  show(tip, true);
  const width = tip.offsetWidth;
  const height = tip.offsetHeight;
  const left = Math.min(Math.max(8, event.clientX - width / 2), document.documentElement.clientWidth - width - 8);
  const above = event.clientY - height - 22;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : event.clientY + 26}px`;
  redraw();
}

function describeWindow() {
  const { from, to } = time.view;
  const oneDay = dayOf(from, zone) === dayOf(to - 1, zone);
  const exact = time.span < 600_000;
  const short = (at) => (exact ? clock(at, zone) : clock(at, zone).slice(0, 5));
  let words;
  if (time.day) words = [fullTime(from, zone).split(',')[0], oddDayWords(time.day, zone)].filter(Boolean).join(', ');
  else if (oneDay) words = `${shortDay(from, zone)}, ${short(from)} – ${short(to)}`;
  else words = `${shortDay(from, zone)} ${short(from)} – ${shortDay(to, zone)} ${short(to)}`;
  const hours = time.span / 3_600_000;
  if (time.follows) words = `Last ${Number.isInteger(hours) && hours < 72 ? `${hours} h` : durationWords(Math.round(time.span / 1000) * 1000)}`;
  say(byId('shown'), words);
  byId('shown').title = `${utcTime(from)} – ${utcTime(to)}`;
  byId('now').setAttribute('aria-pressed', String(time.follows));
  for (const button of document.querySelectorAll('[data-span]')) {
    button.setAttribute('aria-pressed', String(time.follows && Math.abs(time.span - Number(button.dataset.span)) < 1000));
  }
  const day = time.day ?? dayOf(time.follows ? now() : (from + to) / 2, zone);
  if (document.activeElement !== byId('day')) byId('day').value = day;
  byId('day').max = dayOf(now(), zone);
  byId('day').toggleAttribute('data-on', time.day !== null);
  byId('day-on').disabled = day >= dayOf(now(), zone);
  days.draw(day, time.day);
}

// ---- asking the recorder ----

async function ask() {
  try {
    const wantCameras = now() - camerasAsked > CAMERAS_EVERY;
    const [health, cameras] = await Promise.all([listHealth(), wantCameras ? listCameras() : null]);
    if (cameras) {
      camerasAsked = now();
      setCameras(cameras);
      // An older recorder has no such door; the cameras are what the page is about.
      mirror().then(describeMirror, () => show(byId('mirror'), false));
    }
    setHealth(health ?? []);
    if (failures) {
      failures = 0;
      camerasAsked = -Infinity;
    }
    show(byId('banner'), false);
    document.body.classList.remove('stale');
    if (!version) healthz().then((h) => { version = h?.version ? `camkeep ${h.version}` : 'camkeep'; }).catch(() => {});
    return HEALTH_EVERY;
  } catch (error) {
    failures += 1;
    const wait = RETRIES[Math.min(failures - 1, RETRIES.length - 1)];
    retryAt = Date.now() + wait;
    describeTrouble(error);
    return wait;
  }
}

let trouble = null;
function describeTrouble(error = trouble) {
  trouble = error;
  if (!failures) return;
  // One missed answer is not yet news: a busy box may take its time.
  if (failures === 1 && lanes.size) return;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const again = seconds ? `Trying again in ${seconds} s.` : 'Trying again …';
  const words = error.unreachable
    ? 'The recorder does not answer: camkeep may be stopped or restarting, or this computer has lost the network. What is below may be old.'
    : error.status === 401 || error.status === 403 ? `The recorder does not let you in: ${error.message}` : `The recorder has trouble: ${error.message}`;
  const banner = byId('banner');
  if (!banner.firstChild || banner.firstChild.textContent !== `${words} `) {
    banner.replaceChildren(make('span', {}, `${words} `), make('span', { 'aria-hidden': 'true' }));
  }
  say(banner.lastChild, again);
  show(banner, true);
  document.body.classList.add('stale');
  const node = byId('overall');
  node.replaceChildren(make('strong', {}, 'Recorder out of reach'));
  node.dataset.tone = 'bad';
  document.title = '⚠ out of reach · camkeep';
}

function describeMirror(status) {
  const said = mirrorWords(status);
  const node = byId('mirror');
  say(node, said.text);
  node.title = status?.reason ?? '';
  node.dataset.tone = said.tone;
  show(node, said.text !== '');
}

let asking = null;
function askSoon(wait) {
  clearTimeout(asking);
  asking = setTimeout(async () => {
    // A page nobody looks at asks less.
    const next = await ask();
    askSoon(document.hidden ? Math.max(next, 10_000) : next);
  }, wait);
}

function setCameras(cameras) {
  const wanted = new Set(cameras.map((c) => c.id));
  for (const [id, lane] of lanes) {
    if (wanted.has(id)) continue;
    lane.node.remove();
    watcher.unobserve(lane.node);
    lanes.delete(id);
    if (player.camera?.id === id) player.close();
  }
  for (const camera of cameras) {
    const known = lanes.get(camera.id);
    if (known) {
      known.camera = camera;
      continue;
    }
    const lane = new Lane(camera, desk);
    lane.node.lane = lane;
    lanes.set(camera.id, lane);
    watcher.observe(lane.node);
  }
  const order = cameras.map((c) => lanes.get(c.id).node);
  const list = byId('lanes');
  if (order.some((node, i) => list.children[i] !== node)) list.replaceChildren(...order);
  show(byId('empty'), cameras.length === 0);
  show(byId('board'), cameras.length > 0);
  refreshSoon();
  redraw();
}

function setHealth(rows) {
  for (const row of rows) {
    const lane = lanes.get(row.camera_id);
    if (lane) lane.health = row;
    else camerasAsked = -Infinity;
  }
  const known = rows.filter((row) => lanes.has(row.camera_id));
  const whole = overall(known, now());
  const node = byId('overall');
  if (node.textContent !== whole.text || node.dataset.tone !== whole.tone) {
    node.replaceChildren(...(whole.trouble ? [make('strong', {}, whole.trouble), make('span', {}, whole.rest && ` · ${whole.rest}`)] : [whole.rest]));
  }
  node.dataset.tone = whole.tone;
  document.title = whole.trouble ? `⚠ ${whole.trouble} · camkeep` : 'camkeep';
  for (const lane of lanes.values()) lane.describe();
  redraw();
}

let refreshing = null;
function refreshSoon() {
  clearTimeout(refreshing);
  refreshing = setTimeout(refreshFootage, 120);
}

function refreshFootage() {
  if (failures > 1 || document.hidden) return;
  days.refresh([...lanes.keys()]).then((changed) => { if (changed) describeWindow(); });
  const tailEvery = Math.max(3000, lanes.size * 200);
  for (const lane of lanes.values()) {
    if (!lane.visible) continue;
    lane.footage.refresh(time.view, tailEvery).then((changed) => {
      if (!changed) return;
      lane.describe();
      redraw();
    });
    learnOpen(lane);
  }
}

// Where the open segment began: asked once a segment.
async function learnOpen(lane) {
  if (lane.health?.state !== 'recording') {
    lane.openSince = undefined;
    return;
  }
  const length = (lane.camera.segment_seconds ?? 60) * 1000;
  if (now() - (lane.openAsked ?? 0) < 3000 || (lane.openSince && now() - lane.openSince < length)) return;
  lane.openAsked = now();
  try {
    const open = (await fetchSegments(lane.id, now() - 3000, now() + 1000, 5)).filter((s) => s.open).pop();
    lane.openSince = open?.start;
    redraw();
  } catch {
    lane.openSince = undefined;
  }
}

// ---- what the lanes may ask of the page ----

const player = new Player(zone, (camera, at, leftFocus) => {
  if (camera === null) {
    head = { camera: null, at: null };
    for (const lane of lanes.values()) lane.node.removeAttribute('data-playing');
    const closed = at && lanes.get(at.id);
    if (closed && leftFocus) closed.canvas.focus({ preventScroll: true });
  } else {
    head = { camera: camera.id, at };
    for (const lane of lanes.values()) lane.node.toggleAttribute('data-playing', lane.id === camera.id);
  }
  clips.follow(camera);
  redraw();
});
const clips = new ClipMaker(zone, () => player.moment);

const desk = {
  zone,
  window: time,
  hover,
  play(lane, at) {
    player.open(lane.camera, at);
    // The keys now belong to the player; closing it gives them back to the lane.
    byId('play').focus({ preventScroll: true });
  },
  remove: (lane) => openRemoval(lane.camera),
};

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.target.lane.visible = entry.isIntersecting;
  redraw();
  refreshSoon();
}, { rootMargin: '200px' });

const openForm = wireAddForm((camera) => {
  camerasAsked = -Infinity;
  askSoon(0);
  say(byId('foot'), `${camera?.name ?? 'The camera'} is added.`);
});
const openRemoval = wireRemoval(() => {
  camerasAsked = -Infinity;
  askSoon(0);
});

byId('add').addEventListener('click', openForm);
byId('add-first').addEventListener('click', openForm);
for (const button of document.querySelectorAll('[data-span]')) {
  button.addEventListener('click', () => time.follow(Number(button.dataset.span)));
}
byId('now').addEventListener('click', () => time.follow());
byId('zoom-in').addEventListener('click', () => time.zoomBy(0.5));
byId('zoom-out').addEventListener('click', () => time.zoomBy(2));
byId('day').addEventListener('change', (event) => { if (event.target.value) time.showDay(event.target.value); });
const shiftDay = (by) => time.showDay(addDays(byId('day').value || dayOf(now(), zone), by));
byId('day-back').addEventListener('click', () => shiftDay(time.day || !time.follows ? -1 : 0));
byId('day-on').addEventListener('click', () => shiftDay(1));
time.attach(byId('axis'), null, null);

document.addEventListener('keydown', (event) => {
  if (!player.isOpen || document.querySelector('dialog[open]') || event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.closest?.('input, select, textarea, canvas');
  if (event.key === 'Escape' && !document.fullscreenElement) player.close();
  else if (typing) return;
  else if (event.key === ' ' && !event.target.closest?.('button, a')) player.toggle();
  else if (event.key === 'ArrowLeft') player.jump(-10_000);
  else if (event.key === 'ArrowRight') player.jump(10_000);
  else if (event.key === ',') player.step(-1);
  else if (event.key === '.') player.step(1);
  else if (event.key === 'i') clips.mark('from');
  else if (event.key === 'o') clips.mark('to');
  else return;
  event.preventDefault();
});

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { forgetColours(); redraw(); });
new ResizeObserver(() => { forgetColours(); redraw(); }).observe(byId('desk'));
document.addEventListener('visibilitychange', () => { if (!document.hidden) askSoon(0); });
addEventListener('online', () => askSoon(0));

// ---- the page's own clock ----

function tick() {
  const at = now();
  say(byId('clock'), `${shortDay(at, zone)} ${clock(at, zone)}`);
  byId('clock').title = `${utcTime(at)}\n${zoneWords(at, zone)}`;
  say(byId('zone'), zoneWords((time.view.from + time.view.to) / 2, zone));
  byId('zone').title = 'All times are shown in this zone, this browser’s. Point at one to read UTC.';
  const shift = Math.round(skew.millis / 1000) * 1000;
  const parts = [version];
  if (shift) parts.push(`This computer’s clock is ${durationWords(Math.abs(shift))} ${shift > 0 ? 'behind' : 'ahead of'} the recorder’s; times shown are the recorder’s.`);
  if (version || shift) say(byId('foot'), parts.filter(Boolean).join(' · '));
  time.tick();
  describeWindow();
  describeTrouble();
  refreshFootage();
  redraw();
}

tick();
setInterval(tick, 1000);
askSoon(0);
