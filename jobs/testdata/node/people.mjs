// Logs somebody in to the console at an OpenID provider in a headless Chromium, and out of both, and prints a JSON array of what
// is wrong: errors, what the pages' policy refused, and where it did not arrive.
//
// node people.mjs CHROMIUM FOLDER: the order is JSON on stdin: {base, user, password, name}. name is what the console calls
// who is logged in.
import { chromium } from 'playwright-core';

const [executablePath] = process.argv.slice(2);
const order = JSON.parse(await new Response(process.stdin).text());
const timeout = 60_000;

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const context = await browser.newContext();
context.setDefaultTimeout(timeout);
const page = await context.newPage();

const found = [];
page.on('pageerror', (error) => found.push(`error: ${error}`));
page.on('console', (message) => {
  const icon = message.location().url.endsWith('/favicon.ico'); // the provider has none
  if ((message.type() === 'error' || message.type() === 'warning') && !icon) found.push(`console: ${message.text()}`);
});

await page.goto(`${order.base}/console/events`);
await page.getByRole('link', { name: 'Log in with' }).click();
await page.getByLabel('Username:').fill(order.user);
await page.getByLabel('Password:').fill(order.password);
await page.getByRole('button', { name: 'Login' }).click();
await page.waitForURL(`${order.base}/console/events`);
if (!(await page.content()).includes(order.name)) found.push(`the page does not name ${order.name}`);

const cookies = await context.cookies(order.base);
const session = cookies.find((c) => c.name === '__Host-outhook-console');
if (!session?.httpOnly || !session.secure || session.sameSite !== 'Lax') found.push('no such session');
if (cookies.some((c) => c.name === '__Host-outhook-oidc')) found.push('the login is kept');

await page.locator('form[action="/console/logout"]').evaluate((form) => form.requestSubmit());
await page.waitForURL(`${order.base}/console/login?out=1`);
await page.getByRole('link', { name: 'Log out there too' }).click();
await page.waitForURL(`${order.base}/console/login`);

await browser.close();
console.log(JSON.stringify(found));
