// The two dialogues: add a camera, remove one.

import { addCamera, removeCamera } from './api.js';
import { byId, say, show } from './dom.js';
import { fieldOf } from './words.js';

const FIELDS = ['name', 'main_stream_url', 'vendor', 'address', 'rtsp_port', 'username', 'password', 'segment_seconds', 'record_audio'];

/** Wires the form; `onAdded(camera)` is called with the recorder's answer. */
export function wireAddForm(onAdded) {
  const dialog = byId('add-dialog');
  const form = byId('add-form');
  const input = (name) => form.elements.namedItem(name);
  const byAddress = () => input('how').value === 'address';
  const choose = () => {
    show(byId('by-url'), !byAddress());
    show(byId('by-address'), byAddress());
  };
  for (const radio of form.querySelectorAll('[name=how]')) radio.addEventListener('change', choose);
  byId('add-cancel').addEventListener('click', () => dialog.close());
  for (const name of FIELDS) input(name).addEventListener('input', () => mark(name, ''));

  function mark(name, text) {
    const note = byId(`err-${name}`);
    say(note, text);
    show(note, text !== '');
    if (text) input(name).setAttribute('aria-invalid', 'true');
    else input(name).removeAttribute('aria-invalid');
  }

  function complain(text) {
    say(byId('err-form'), text);
    show(byId('err-form'), text !== '');
  }

  function clear() {
    for (const name of FIELDS) mark(name, '');
    complain('');
  }

  /** What the recorder is asked, or null when something obvious is missing. */
  function read() {
    const text = (name) => input(name).value.trim();
    const wrong = [];
    const body = { name: text('name') };
    if (!body.name) wrong.push(['name', 'Give the camera a name.']);
    if (byAddress()) {
      body.vendor = text('vendor');
      body.address = text('address');
      if (!body.address) wrong.push(['address', 'Give the camera’s IP address or host name.']);
      whole('rtsp_port', 'A port is a whole number from 1 to 65535.', 1, 65535);
      if (text('username')) body.username = text('username');
      if (input('password').value) body.password = input('password').value;
    } else {
      body.main_stream_url = text('main_stream_url');
      if (!body.main_stream_url) wrong.push(['main_stream_url', 'Give the stream’s URL; it begins with rtsp:// or rtsps://.']);
    }
    whole('segment_seconds', 'A segment lasts 2 to 3600 whole seconds.', 2, 3600);
    body.record_audio = input('record_audio').checked;

    function whole(name, words, least, most) {
      const value = Number(text(name));
      if (!/^\d+$/.test(text(name)) || value < least || value > most) wrong.push([name, words]);
      else body[name] = value;
    }
    for (const [name, words] of wrong) mark(name, words);
    if (wrong.length) input(wrong[0][0]).focus();
    return wrong.length ? null : body;
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    clear();
    const body = read();
    if (!body) return;
    const button = byId('add-submit');
    button.disabled = true;
    say(button, 'Adding …');
    try {
      const camera = await addCamera(body);
      dialog.close();
      form.reset();
      choose();
      onAdded(camera);
    } catch (error) {
      const name = error.unreachable ? null : fieldOf(error.problem, FIELDS);
      // Words about a field of the other half of the form would be out of sight: they go on top.
      if (name && input(name).offsetParent !== null) {
        mark(name, error.message);
        input(name).focus();
      } else {
        complain(error.message);
      }
    } finally {
      button.disabled = false;
      say(button, 'Add and record');
    }
  });

  return () => {
    clear();
    choose();
    dialog.showModal();
    input('name').focus();
  };
}

/** Wires the confirmation; the answer opens it for a camera. */
export function wireRemoval(onRemoved) {
  const dialog = byId('remove-dialog');
  let camera = null;
  byId('remove-cancel').addEventListener('click', () => dialog.close());
  byId('remove-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = byId('remove-yes');
    button.disabled = true;
    try {
      await removeCamera(camera.id);
      dialog.close();
      onRemoved(camera);
    } catch (error) {
      if (error.status === 404) {
        dialog.close();
        onRemoved(camera);
      } else {
        say(byId('remove-err'), error.message);
        show(byId('remove-err'), true);
      }
    } finally {
      button.disabled = false;
    }
  });
  return (wanted) => {
    camera = wanted;
    show(byId('remove-err'), false);
    say(byId('remove-title'), `Remove ${camera.name || camera.id}?`);
    say(byId('remove-words'), 'Recording of this camera stops at once and it leaves this page.');
    dialog.showModal();
    byId('remove-cancel').focus();
  };
}
