// Opens pages of the console, or of the portal, in a headless Chromium, in each theme and width, and prints a JSON array of what is wrong with them.
//
// node pages.mjs CHROMIUM FOLDER: the order is JSON on stdin: {base, key, link, pages: [{name, path, status}], looks: [{theme, width}],
// answers: [{name, path, status, form, fill, open}], shots}. An answer is that to a form (a selector) of the path's page, with what fill has
// by name; or the page with what open selects. With shots each page gets a screenshot in FOLDER in each look, without only those that something is wrong with. axe runs in a world of its own, so the pages' policy holds while it does.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [executablePath, folder] = process.argv.slice(2);
const order = JSON.parse(await new Response(process.stdin).text());
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const timeout = 300_000; // a busy machine is no fault of a page

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const context = await browser.newContext();
context.setDefaultTimeout(timeout);
const page = await context.newPage();

const found = [];
let at = '';
let expected = 200;
const note = (what) => found.push(`${at}: ${what}`);
page.on('pageerror', (error) => note(`error: ${error}`));
page.on('console', (message) => {
  const refused = expected >= 400 && message.text().includes('Failed to load resource');
  if ((message.type() === 'error' || message.type() === 'warning') && !refused) note(`console: ${message.text()}`);
});
await page.addInitScript(() => {
  document.addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
});

// judge returns what axe finds on the page, each rule with its first element.
async function judge() {
  const cdp = await context.newCDPSession(page);
  const { frameTree } = await cdp.send('Page.getFrameTree');
  const { executionContextId } = await cdp.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' });
  const run = async (expression) => {
    const { result, exceptionDetails } = await cdp.send('Runtime.evaluate', {
      expression, contextId: executionContextId, awaitPromise: true, returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await run(`${axe}; undefined`);
  const violations = await run(`axe.run(document, { runOnly: ${JSON.stringify(tags)} }).then((r) => r.violations.map((v) =>
    v.id + ' (' + v.impact + ') ' + v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(' | ')))`);
  await cdp.detach();
  return violations;
}

if (order.key) {
  at = 'login';
  await page.goto(`${order.base}/console/login`);
  await page.getByLabel('API key').fill(order.key);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.waitForURL(`${order.base}/console`);
}

if (order.link) {
  at = 'link';
  await page.goto(order.link);
  await page.waitForURL(`${order.base}/portal`);
}

// Each page is loaded once, and looked at in each theme and width.
for (const { name, path, status, form, fill, open } of [...order.pages, ...(order.answers ?? [])]) {
  at = name;
  expected = status;
  let response = await page.goto(order.base + path);
  if (form) {
    const answered = page.waitForNavigation();
    await page.evaluate(({ form, fill }) => {
      const element = document.querySelector(form);
      for (const [field, value] of Object.entries(fill ?? {})) element.elements[field].value = value;
      element.submit();
    }, { form, fill });
    response = await answered;
  }
  if (open) await page.evaluate((selector) => document.querySelector(selector).showPopover(), open);
  if (response.status() !== status) note(`status ${response.status()}, not ${status}`);
  const bytes = (await response.body()).length;
  if (bytes > 150 * 1024) note(`${bytes} bytes of HTML`);

  for (const { theme, width } of order.looks) {
    at = `${name} ${theme} ${width}`;
    const faults = found.length;
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height: 900 });
    for (const violation of await judge()) note(`axe: ${violation}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) note(`${wide} px are to the right of the window`);
    if (order.shots || found.length > faults) {
      await page.screenshot({ path: `${folder}/${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${theme}-${width}.png`, fullPage: true });
    }
  }
}

await browser.close();
console.log(JSON.stringify(found));
