// The page as an operator uses it, in Chromium, against a stand-in for the recorder.
import { after, before, beforeEach, afterEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { Browser } from './browser.mjs';
import { Recorder, film, fragmentEnds } from './recorder.mjs';

const SECOND = 1000;
let browser;
let recorder;
let four;
before(async () => {
  browser = await Browser.start();
  four = film(4);
});
after(() => browser.stop());
beforeEach(async () => { recorder = await Recorder.start(); });
afterEach(async () => {
  await browser.call('Page.navigate', { url: 'about:blank' });
  await recorder.stop();
  assert.deepEqual(browser.errors.splice(0), [], 'no script of the page failed');
});

/** Three films of four seconds, one after another; they ended so many seconds ago. */
function threeSegments(ago) {
  const end = Math.floor(Date.now() / SECOND) * SECOND - ago * SECOND;
  recorder.segments = [-12, -8, -4].map((start) => ({ start: end + start * SECOND, end: end + (start + 4) * SECOND, bytes: four }));
  return end;
}

/** Opens the page and shows the last hour. */
async function open(size) {
  await browser.open(recorder.url, size);
  await browser.until('document.querySelector(".bar")?.clientWidth > 0');
  await browser.run('document.querySelector("[data-span=\\"3600000\\"]").click()');
}

/** Clicks where nothing is recorded yet: the last frame there is, is shown. */
async function showLastFrame(end) {
  await browser.click('.bar', 0.97);
  await browser.until(`${shown} >= ${end - 110} && [...document.querySelectorAll("video")].some((v) => v.readyState > 1)`);
  assert.match(await text('#player-note'), /last before it|newest/);
}

const shown = 'Date.parse(document.querySelector("#player-clock").dateTime)';
const text = (selector) => browser.run(`document.querySelector(${JSON.stringify(selector)}).textContent`);

test('a click past the newest footage plays the last of it, and from there one goes back segment by segment', async () => {
  const end = threeSegments(600);
  recorder.health.state = 'offline';
  await open();
  await showLastFrame(end);
  await browser.click('#prev');
  await browser.until(`${shown} === ${end - 4 * SECOND}`);
  await browser.click('#prev');
  await browser.until(`${shown} < ${end - 4 * SECOND} && ${shown} >= ${end - 8 * SECOND}`);
});

test('one frame on or back goes over the ends of segments', async () => {
  const end = threeSegments(600);
  await open();
  await showLastFrame(end);
  await browser.press(',');
  await browser.until(`${shown} < ${end - 100}`);
  // To the first frame of the last segment, then one more.
  await browser.click('#prev');
  await browser.until(`${shown} === ${end - 4 * SECOND}`);
  await browser.press(',');
  await browser.until(`${shown} < ${end - 4 * SECOND}`);
  const before = await browser.run(shown);
  assert.ok(before >= end - 4 * SECOND - 110, `the frame before lies ${end - 4 * SECOND - before} ms earlier`);
  await browser.press('.');
  await browser.until(`${shown} >= ${end - 4 * SECOND}`);
  assert.ok(await browser.run(shown) <= end - 4 * SECOND + 110);
});

test('at sixteen times the speed the picture never jumps back at the live edge', async () => {
  const long = film(20, true);
  const ends = fragmentEnds(long);
  const began = Date.now() - 12 * SECOND;
  const open_ = { start: began, open: true, bytes: () => long.subarray(0, ends[Math.min(ends.length, Math.max(1, Math.floor((Date.now() - began - 2 * SECOND) / 500))) - 1]) };
  // The row is ahead of the file, as it is while a group of pictures is not complete.
  Object.defineProperty(open_, 'end', { get: () => Math.min(began + 20 * SECOND, Math.floor(Date.now() / SECOND) * SECOND), enumerable: true });
  recorder.segments = [open_];
  await open();
  await browser.run('document.querySelector("#speed").value = "16"; document.querySelector("#speed").dispatchEvent(new Event("change"))');
  await browser.run(`window.seen = []; setInterval(() => { const at = ${shown}; if (at) window.seen.push(at); }, 20)`);
  await browser.run('document.querySelector(".more").click(); [...document.querySelectorAll(".details button")].find((b) => b.textContent.startsWith("Play")).click()');
  await browser.until(`window.seen.at(-1) >= ${began + 15 * SECOND}`, 15);
  const seen = await browser.run('window.seen');
  const back = seen.filter((at, i) => i > 0 && at < seen[i - 1]);
  assert.deepEqual(back, [], 'the clock of the player only goes forward');
});

test('what was not to be recorded is no gap: not in the share, not in the colours, and said so', async () => {
  const end = threeSegments(0);
  recorder.gaps = [{ start: end - 3000 * SECOND, end: end - 12 * SECOND, cause: 'not_wanted', fill_state: null }];
  recorder.camera.created_at = new Date(end - 3000 * SECOND).toISOString();
  recorder.camera.record_mode = 'event';
  recorder.health.state = 'idle';
  await open();
  await browser.until('document.querySelector(".share").textContent !== ""');
  assert.equal(await text('.share'), '100 %');
  assert.equal(await text('.badge'), 'Waiting');
  const isRed = await browser.run(`(() => {
    const canvas = document.querySelector('.bar');
    const { data } = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width * 0.9, 1);
    const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue('--gap').match(/\\w\\w/g).map((x) => parseInt(x, 16));
    for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12) return true;
    return false;
  })()`);
  assert.equal(isRed, false);
});

test('the recorder’s own words say why a camera is lost', async () => {
  threeSegments(600);
  Object.assign(recorder.health, { state: 'offline', loss: 'refused', message: 'the camera refuses the connection at 10.0.0.7:554; check its port' });
  await open();
  await browser.until('document.querySelector(".badge").textContent === "Offline"');
  assert.equal(await text('.reason'), 'The camera refuses the connection at 10.0.0.7:554; check its port');
  assert.match(await text('#overall'), /check its port/);
});

test('a name that is taken is said at the name, which the form has', async () => {
  recorder.added = [409, { type: '/problems/conflict', status: 409, detail: 'camera yard exists already; choose another name or id, or change that camera' }];
  await open();
  await browser.click('#add');
  await browser.run('document.querySelector("#f-name").value = "Yard"; document.querySelector("#f-url").value = "rtsp://10.0.0.7/x"; document.querySelector("#add-submit").click()');
  await browser.until('!document.querySelector("#err-name").hidden');
  assert.match(await text('#err-name'), /choose another name/);
  assert.equal(await browser.run('document.activeElement.id'), 'f-name');
});

test('the keys go on from where they were after a clip is ordered and when it is made', async () => {
  const end = threeSegments(600);
  recorder.job = { id: '1', state: 'running', progress: 0.5, ended_at: null, clips: [] };
  await open();
  await showLastFrame(end);
  await browser.click('#prev');
  await browser.click('#play');
  await browser.until(`${shown} >= ${end - 4 * SECOND} && ${shown} < ${end - 2 * SECOND}`);
  await browser.press('i');
  await browser.until('document.querySelector("#clip-span").textContent.startsWith("From")');
  await browser.until(`${shown} >= ${end - 2 * SECOND}`);
  await browser.press('o');
  await browser.run('document.querySelector("#clip-make").focus(); document.querySelector("#clip-make").click()');
  await browser.until('!document.querySelector("#clip-cancel").hidden');
  assert.equal(await browser.run('document.activeElement.id'), 'clip-cancel');
  recorder.job = { ...recorder.job, state: 'done', ended_at: new Date().toISOString(), clips: [{ url: '/media/clips/x.mp4', filename: 'x.mp4', covered_seconds: 2, size_bytes: 10, gaps: [] }] };
  await browser.until('document.querySelector("#clip-files a")');
  assert.equal(await browser.run('document.activeElement.textContent'), 'Download the clip');
});

test('on a phone each day can be hit with a finger', async () => {
  threeSegments(0);
  await open({ width: 360, height: 740 });
  await browser.until('document.querySelectorAll(".days button").length > 27');
  const sizes = await browser.run('[...document.querySelectorAll(".days button")].map((b) => { const box = b.getBoundingClientRect(); return [box.width, box.height]; })');
  for (const [width, height] of sizes) assert.ok(width >= 40 && height >= 36, `${width} by ${height} pixels`);
  // Nothing else is wider than the screen, and the day that is shown is in sight.
  assert.ok(await browser.run('document.documentElement.scrollWidth <= 360'));
  assert.ok(await browser.run(`(() => { const box = document.querySelector('[data-day="' + document.querySelector('#day').value + '"]').getBoundingClientRect(); return box.left >= 0 && box.right <= 360; })()`));
});
