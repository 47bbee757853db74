// Makes the pictures of the documentation: pages of the console of a dev --demo that has run for a while.
//
// node images.mjs CHROMIUM FOLDER: the order is JSON on stdin: {link, scale, width, height}. Each picture is FOLDER/NAME.png, and
// the names are printed as a JSON array.
import { chromium } from 'playwright-core';

const [executablePath, folder] = process.argv.slice(2);
const order = JSON.parse(await new Response(process.stdin).text());
const timeout = 300_000; // a busy machine is no fault of a page
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const context = await browser.newContext({
  deviceScaleFactor: order.scale, viewport: { width: order.width, height: order.height }, reducedMotion: 'reduce', colorScheme: 'light',
});
context.setDefaultTimeout(timeout);
const page = await context.newPage();
await page.goto(order.link);
await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
const base = new URL(page.url()).origin;

const names = [];
const shoot = async (name) => {
  await page.mouse.move(0, 0);
  await page.waitForTimeout(1500); // charts are drawn, and times are put into words
  await page.screenshot({ path: `${folder}/${name}.png` });
  names.push(name);
};
const open = async (path) => page.goto(base + path);
const follow = async (locator) => {
  await open(await locator.getAttribute('href'));
};
// row is the link of the first row that holds all the texts.
const row = (...texts) => {
  let rows = page.locator('tbody tr');
  for (const hasText of texts) rows = rows.filter({ hasText });
  return rows.first().locator('a.row');
};

// What goes on.
await open('/console?window=900');
await shoot('overview');

// Who receives, and how each is.
await open('/console/endpoints');
await page.getByRole('row').nth(5).waitFor();
await shoot('endpoints');

// One that fails.
await follow(row('/globex/crm'));
await shoot('endpoint');

// An event, and why each endpoint got it or did not.
await open('/console/events?type=order.refunded');
await follow(row('northwind'));
await shoot('event');

// A delivery that has failed for good, attempt by attempt.
await open('/console/deliveries?state=failed&tenant=globex');
await follow(row('customer.updated'));
await shoot('delivery');

// Attempts as they end, in the dark.
await page.emulateMedia({ colorScheme: 'dark' });
await open('/console/live');
await page.locator('#live tr').nth(25).waitFor();
await shoot('live');

await browser.close();
console.log(JSON.stringify(names));
