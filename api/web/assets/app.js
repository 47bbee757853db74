// What a page can do more with a script. Nothing here runs what stands in a page's attributes: they name what is to be done, in
// the few words below.
'use strict';

const html = window.trustedTypes
  ? trustedTypes.createPolicy('outhook', { createHTML: (text) => text })
  : { createHTML: (text) => text };
const parse = (text) => new DOMParser().parseFromString(html.createHTML(text), 'text/html');
const all = (selector, root = document) => root.querySelectorAll(selector);

document.documentElement.classList.add('script');

// Times in the viewer's zone and language; the title says UTC.
const language = document.documentElement.dataset.language; // of a page that has one of its own
const today = new Intl.DateTimeFormat(language, { timeStyle: 'medium' });
const other = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' });
const clock = new Intl.DateTimeFormat(language, { timeStyle: 'short' });
const day = new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric' });
function showTimes(root) {
  for (const element of all('time[datetime]:not([title])', root)) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = at.toISOString().replace('T', ' ').replace('Z', ' UTC');
    element.textContent = (at.toDateString() === new Date().toDateString() ? today : other).format(at);
  }
  for (const label of all('text[data-time]', root)) {
    label.textContent = ('day' in label.dataset ? day : clock).format(new Date(label.dataset.time));
  }
  for (const title of all('title[data-time]', root)) {
    const numbers = title.textContent.split('\n').slice(1);
    title.textContent = [other.format(new Date(title.dataset.time)), ...numbers].join('\n');
  }
}

// Regions are read again while somebody looks, and replaced if they are different. What somebody is using is left alone.
function inUse(region) {
  return region.querySelector('dialog[open], details[open] :focus, input:focus, select:focus, button:focus') !== null ||
    (region.contains(document.getSelection()?.anchorNode) && document.getSelection().toString() !== '');
}

const sources = new Map([...all('[data-region]')].map((region) => [region.id, region.innerHTML]));

function replace(region, fresh) {
  const source = fresh.innerHTML;
  if (sources.get(region.id) === source) return;
  const open = [...all('details', region)].map((d) => d.open);
  const href = region.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
  region.replaceChildren(...fresh.childNodes);
  sources.set(region.id, source);
  all('details', region).forEach((d, i) => { if (open[i] !== undefined) d.open = open[i]; });
  if (href !== null) region.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus();
  showTimes(region);
}

async function refresh() {
  if (document.hidden || document.querySelector('dialog[open]')) return;
  const response = await fetch(location.href, { headers: { accept: 'text/html' } });
  if (response.redirected || response.status === 401) {
    location.reload();
    return;
  }
  document.body.classList.toggle('stale', !response.ok);
  if (!response.ok) return;
  const page = parse(await response.text());
  for (const region of all('[data-region]')) {
    const fresh = page.getElementById(region.id);
    if (fresh !== null && !inUse(region)) replace(region, fresh);
  }
}

const seconds = Number(document.querySelector('main')?.dataset.refresh ?? 0);
if (seconds > 0) {
  setInterval(() => refresh().catch(() => document.body.classList.add('stale')), seconds * 1000);
}

// A form of filters is sent when a choice is made; empty fields stay out of the address.
for (const form of all('form[data-autosubmit]')) {
  form.addEventListener('change', (event) => { if (event.target.matches('select')) form.requestSubmit(); });
  form.addEventListener('formdata', (event) => {
    for (const [name, value] of [...event.formData]) if (value === '') event.formData.delete(name);
  });
}

// Copying.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (button === null) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  toast(document.getElementById('toasts').dataset.copied);
});

function toast(text) {
  const element = document.createElement('div');
  element.className = 'toast ok';
  element.textContent = text;
  document.getElementById('toasts').append(element);
  leave(element, 2000);
}

// What has been done is said for a while, and not again when the page is loaded anew.
const leave = (element, after) => setTimeout(() => element.remove(), after);
for (const element of all('#toasts .toast')) leave(element, element.querySelector('form') ? 15000 : 6000);
const address = new URL(location.href);
if (address.searchParams.has('done')) {
  address.searchParams.delete('done');
  address.searchParams.delete('undo');
  history.replaceState(null, '', address);
}

// The code of a one-time link stands behind the #, where no server and no log sees it.
const enter = document.querySelector('form[data-enter]');
if (enter !== null && location.hash.length > 1) {
  enter.elements.key.value = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  enter.submit();
}

// The session has ended: whoever has framed the page may make another link.
const ended = document.querySelector('[data-ended]');
if (ended !== null && window.parent !== window) {
  for (const origin of ended.dataset.ended.split(' ')) {
    if (origin !== '') window.parent.postMessage({ type: 'outhook:session-expired' }, origin);
  }
}

// The page around it makes room for it.
const framed = document.querySelector('[data-framed]');
if (framed !== null && window.parent !== window) {
  new ResizeObserver(() => {
    for (const origin of framed.dataset.framed.split(' ')) {
      const height = Math.ceil(framed.getBoundingClientRect().height);
      if (origin !== '') window.parent.postMessage({ type: 'outhook:height', height }, origin);
    }
  }).observe(framed);
}

// A browser that does not know these attributes of a button yet.
if (!('commandForElement' in HTMLButtonElement.prototype)) {
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button[commandfor]');
    const dialog = button && document.getElementById(button.getAttribute('commandfor'));
    if (dialog === null) return;
    if (button.getAttribute('command') === 'close') dialog.close();
    else dialog.showModal();
  });
}

// A countdown to when trying again makes sense.
for (const element of all('[data-countdown]')) {
  const end = Date.now() + 1000 * Number(element.dataset.countdown);
  const timer = setInterval(() => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    element.textContent = String(left);
    if (left === 0) {
      clearInterval(timer);
      location.reload();
    }
  }, 1000);
}

// Attempts as they end. A row that comes again replaces itself; at most 200 are kept. One stream at a time, while it is seen.
const live = document.querySelector('[data-stream]');
if (live !== null) {
  const state = document.getElementById('live-state');
  const pause = document.getElementById('live-pause');
  let stream = null;
  let waiting = 0;
  const say = (text, tone) => {
    state.textContent = text;
    state.className = `badge ${tone}`;
  };
  const close = () => {
    stream?.close();
    stream = null;
  };
  const open = () => {
    close();
    if (document.hidden || pause.getAttribute('aria-pressed') === 'true') return;
    stream = new EventSource(live.dataset.stream);
    stream.addEventListener('open', () => say('Live', 'ok'));
    stream.addEventListener('error', () => say(stream?.readyState === EventSource.CLOSED ? 'Ended' : 'Connecting', 'mute'));
    stream.addEventListener('ended', () => {
      close();
      say('Ended', 'warn');
    });
    stream.addEventListener('rows', (event) => {
      const rows = parse(`<table><tbody>${event.data}</tbody></table>`).querySelectorAll('tr');
      for (const row of [...rows].reverse()) {
        document.getElementById(row.id)?.remove();
        live.prepend(row);
        showTimes(row);
        waiting += 1;
      }
      while (live.rows.length > 200) live.lastElementChild.remove();
    });
  };
  pause.addEventListener('click', () => {
    const paused = pause.getAttribute('aria-pressed') !== 'true';
    pause.setAttribute('aria-pressed', String(paused));
    pause.lastChild.textContent = paused ? 'Go on' : 'Pause';
    if (paused) {
      close();
      say('Paused', 'warn');
    } else open();
  });
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  setInterval(() => {
    if (waiting > 0) document.getElementById('live-said').textContent = `${waiting} attempts ended`;
    waiting = 0;
  }, 5000);
  open();
}

// Keys. Ctrl-K works everywhere; those of one letter not while something is typed, and not for whoever has switched them off.
const keysOff = () => localStorage.getItem('keys') === 'off';
const find = document.getElementById('find');
const help = document.getElementById('keys');
function step(by) {
  const rows = [...all('main a.row')];
  const now = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(now + by, 0), rows.length - 1)]?.focus();
}
const letters = {
  '/': () => find?.focus(), '?': () => help?.showModal(), j: () => step(1), k: () => step(-1),
};
document.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k' && find !== null) {
    event.preventDefault();
    find.focus();
    find.select();
    return;
  }
  const typing = event.target.closest?.('input, select, textarea, dialog, [contenteditable]') != null;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || keysOff() || !(event.key in letters)) return;
  event.preventDefault();
  letters[event.key]();
});
for (const box of all('input[data-keys]')) {
  box.checked = !keysOff();
  box.addEventListener('change', () => localStorage.setItem('keys', box.checked ? 'on' : 'off'));
}

showTimes(document);
