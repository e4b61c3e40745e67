// Drives Debian's Chromium by its DevTools protocol, through a pipe and without a library.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLAGS = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync', '--disable-extensions',
  '--disable-component-update', '--disable-background-networking', '--autoplay-policy=no-user-gesture-required',
  '--remote-debugging-pipe',
];

/** Waits until `condition()` gives something true, and gives that back; fails with `what` after `seconds`. */
export async function until(what, condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${seconds} s`);
    await new Promise((go) => { setTimeout(go, 25); });
  }
}

/** One browser with one page. */
export class Browser {
  static async start() {
    const browser = new Browser();
    browser.profile = await mkdtemp(join(tmpdir(), 'camkeep-page-'));
    browser.child = spawn('chromium', [...FLAGS, `--user-data-dir=${browser.profile}`], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    browser.child.on('error', (error) => { for (const { reject } of browser.waiting.values()) reject(error); });
    let text = '';
    browser.child.stdio[4].setEncoding('utf8').on('data', (more) => {
      text += more;
      const messages = text.split('\0');
      text = messages.pop();
      for (const message of messages) browser.#hear(JSON.parse(message));
    });
    const { targetId } = await browser.#send('Target.createTarget', { url: 'about:blank' });
    browser.session = (await browser.#send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    await browser.call('Page.enable');
    await browser.call('Runtime.enable');
    return browser;
  }

  constructor() {
    this.waiting = new Map();
    this.number = 0;
    /** What went wrong in the page's scripts. */
    this.errors = [];
  }

  #hear(message) {
    if (message.method === 'Runtime.exceptionThrown') {
      const { exceptionDetails: details } = message.params;
      this.errors.push(details.exception?.description ?? details.text);
    }
    const asked = this.waiting.get(message.id);
    if (!asked) return;
    this.waiting.delete(message.id);
    if (message.error) asked.reject(new Error(message.error.message));
    else asked.resolve(message.result);
  }

  #send(method, params = {}, sessionId = undefined) {
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** A command to the page. */
  call(method, params) { return this.#send(method, params, this.session); }

  /** Opens an address in a window of this size. */
  async open(url, { width = 1400, height = 900 } = {}) {
    await this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 700 });
    await this.call('Page.navigate', { url });
    await until(`${url} is loaded`, () => this.run('document.readyState === "complete" && location.href !== "about:blank"'));
  }

  /** The value of an expression in the page; promises are waited for. */
  async run(expression) {
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true in the page. */
  until(expression, seconds) { return until(expression, () => this.run(expression), seconds); }

  /** A click of the mouse at this place of an element, in parts of its size. */
  async click(selector, across = 0.5, down = 0.5) {
    const place = await this.run(`(() => {
      const node = document.querySelector(${JSON.stringify(selector)});
      node.scrollIntoView({ block: 'nearest' });
      const box = node.getBoundingClientRect();
      return { x: box.left + box.width * ${across}, y: box.top + box.height * ${down} };
    })()`);
    for (const type of ['mousePressed', 'mouseReleased']) {
      await this.call('Input.dispatchMouseEvent', { type, ...place, button: 'left', clickCount: 1 });
    }
  }

  /** A key, by its name. */
  async press(key) {
    const text = key.length === 1 ? key : undefined;
    await this.call('Input.dispatchKeyEvent', { type: 'keyDown', key, text });
    await this.call('Input.dispatchKeyEvent', { type: 'keyUp', key });
  }

  /** A picture of the page, as a PNG. */
  async picture() { return Buffer.from((await this.call('Page.captureScreenshot')).data, 'base64'); }

  async stop() {
    const gone = new Promise((go) => { this.child.once('exit', go); });
    this.child.kill('SIGKILL');
    await gone;
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
