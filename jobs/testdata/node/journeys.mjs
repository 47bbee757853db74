// Walks through the console as people do, and prints a JSON array of what went wrong.
//
// node journeys.mjs CHROMIUM FOLDER: the order is JSON on stdin: {base, key, event, other, endpoint, code}.
import { chromium } from 'playwright-core';

const [executablePath, folder] = process.argv.slice(2);
const order = JSON.parse(await new Response(process.stdin).text());
const timeout = 300_000; // a busy machine is no fault of a page
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const found = [];

// walk makes a fresh browser walk, and notes where it got stuck.
async function walk(name, options, steps) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(timeout);
  const page = await context.newPage();
  page.on('pageerror', (error) => found.push(`${name}: error: ${error}`));
  try {
    await steps(page);
  } catch (error) {
    found.push(`${name}: ${error}`);
    await page.screenshot({ path: `${folder}/${name.replaceAll(' ', '-')}.png`, fullPage: true });
  }
  await context.close();
}

// Without a script: reading, filters, and a change that asks first.
await walk('without a script', { javaScriptEnabled: false }, async (page) => {
  await page.goto(`${order.base}/console/events`);
  await page.getByLabel('API key').fill(order.key);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Events', level: 1 }).waitFor();
  await page.getByLabel('Type', { exact: true }).fill('invoice.*');
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.locator(`a[href="/console/events/${order.event}"]`).click();
  await page.getByRole('button', { name: 'Replay all' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Replay all' }).click();
  await page.getByText('Ordered: the next attempt is on its way.').waitFor();
  await page.goto(`${order.base}/console/endpoints/${order.endpoint}`);
  await page.getByRole('button', { name: 'More' }).click();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused: deliveries wait.').waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByText('Enabled: what waited is sent.').waitFor();
});

// By keys alone: from the customer's webhook-id to the event, a replay, and out.
await walk('by keys', {}, async (page) => {
  const tabTo = async (locator) => {
    for (let i = 0; i < 60; i += 1) {
      if (await locator.evaluate((e) => e === document.activeElement)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`Tab does not reach ${locator}`);
  };
  await page.goto(`${order.base}/console/login`);
  await page.keyboard.type(order.key);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  await page.keyboard.press('Control+k');
  await page.keyboard.type(order.other);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${order.base}/console/events/${order.other}`);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter'); // the skip link
  await tabTo(page.getByRole('button', { name: 'Replay all' }));
  await page.keyboard.press('Enter');
  await tabTo(page.getByRole('dialog').getByRole('button', { name: 'Replay all' }));
  await page.keyboard.press('Enter');
  await page.getByText('Ordered: the next attempt is on its way.').waitFor();
  await page.goto(`${order.base}/console/endpoints/${order.endpoint}`);
  await tabTo(page.getByRole('button', { name: 'More' }));
  await page.keyboard.press('Enter');
  await tabTo(page.getByRole('button', { name: 'Delete' }));
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Delete' }).waitFor({ state: 'hidden' });
  if (!await page.getByRole('button', { name: 'More' }).evaluate((e) => e === document.activeElement)) {
    throw new Error('Escape does not lead back to the button of the menu');
  }
  await page.keyboard.press('Enter');
  await tabTo(page.getByRole('button', { name: 'Rotate the secret' }));
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Rotate the signing secret?' }).waitFor();
  await page.keyboard.press('Escape');
  await page.goto(`${order.base}/console/events`);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  const first = page.locator('a.row').first();
  if (!await first.evaluate((e) => e === document.activeElement)) throw new Error('j, j, k leads to the first row');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Payload' }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('Find anything').waitFor();
  await page.keyboard.press('Escape');
});

// A one-time link opens the console, once, and its code does not stay in the address.
await walk('by a link', {}, async (page) => {
  await page.goto(`${order.base}/console/enter#${order.code}`);
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  if (page.url().includes('#')) throw new Error(`the code is in ${page.url()}`);
  await page.context().clearCookies();
  await page.goto(`${order.base}/console/enter#${order.code}`);
  await page.getByText('the link was used already').waitFor();
});

// What ends is shown without a reload.
await walk('live', {}, async (page) => {
  await page.goto(`${order.base}/console/login`);
  await page.getByLabel('API key').fill(order.key);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  await page.goto(`${order.base}/console/live`);
  await page.getByText('Live', { exact: true }).last().waitFor();
  await page.locator('#live-state.ok').waitFor();
  await fetch(`${order.base}/api/events`, {
    method: 'POST', headers: { authorization: `Bearer ${order.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ tenant_id: 'acme', type: 'live.seen', payload: 1 }),
  });
  await page.locator('#live').getByText('live.seen').first().waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused').waitFor();
});

await browser.close();
console.log(JSON.stringify(found));
