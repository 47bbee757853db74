// Opens pages of the console, or by a link of the portal, that show texts which try to be more than texts, and prints a JSON array of those that were.
//
// node texts.mjs CHROMIUM FOLDER: the order is JSON on stdin: {base, key, link, pages: [{name, path, texts}]}. What runs sets window.pwned;
// each text must be on its page, as text.
import { chromium } from 'playwright-core';

const [executablePath] = process.argv.slice(2);
const order = JSON.parse(await new Response(process.stdin).text());
const timeout = 300_000; // a busy machine is no fault of a page
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const context = await browser.newContext();
context.setDefaultTimeout(timeout);
const page = await context.newPage();

const found = [];
let at = '';
page.on('pageerror', (error) => found.push(`${at}: error: ${error}`));
page.on('console', (message) => {
  if (message.type() === 'error') found.push(`${at}: console: ${message.text()}`);
});
page.on('dialog', async (dialog) => {
  found.push(`${at}: a dialog says ${dialog.message()}`);
  await dialog.dismiss();
});
await page.exposeFunction('caught', (what) => found.push(`${at}: ${what} ran`));
await page.addInitScript(() => {
  Object.defineProperty(window, 'pwned', { set: (value) => window.caught(`pwned=${value}`), get: () => undefined });
});

if (order.link) {
  await page.goto(order.link);
  await page.waitForURL(`${order.base}/portal`);
} else {
  await page.goto(`${order.base}/console/login`);
  await page.getByLabel('API key').fill(order.key);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.waitForURL(`${order.base}/console`);
}

for (const { name, path, texts } of order.pages) {
  at = name;
  const response = await page.goto(order.base + path);
  if (response.status() !== 200) found.push(`${at}: status ${response.status()}`);
  const { shown, bad } = await page.evaluate(() => ({
    shown: document.body.textContent + [...document.querySelectorAll('[title]')].map((e) => e.title).join('\n'),
    bad: document.querySelectorAll('main :is(script, iframe, object, embed, img, video, audio, link, meta, base, style, math, ' +
      '[href^="javascript:" i], [style], [onload], [onerror], [onclick], [onfocus], [ontoggle])').length,
  }));
  if (bad > 0) found.push(`${at}: ${bad} elements came of a text`);
  for (const text of texts) {
    if (!shown.includes(text)) found.push(`${at}: does not show ${text}`);
  }
  // What waits for somebody gets what it waits for.
  await page.evaluate(() => {
    for (const e of document.querySelectorAll('main *')) {
      for (const type of ['mouseover', 'focus', 'toggle', 'animationstart', 'error', 'load']) e.dispatchEvent(new Event(type));
    }
  });
}

await browser.close();
console.log(JSON.stringify(found));
