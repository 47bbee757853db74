// Opens River UI in a headless Chromium, as a person would, and prints a JSON object of what the pages showed.
//
// node browse.mjs CHROMIUM URL KEY EVENT: URL is River UI's, KEY an API key, EVENT the id of an event with one delivery.
import { chromium } from 'playwright-core';

const [executablePath, url, key, event] = process.argv.slice(2);
const timeout = 30_000;
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const context = await browser.newContext({ httpCredentials: { username: 'ops', password: key } });
context.setDefaultTimeout(timeout);
const page = await context.newPage();

const seen = { queues: '', jobs: '', job: '', data: '', errors: [] };
page.on('pageerror', (error) => seen.errors.push(String(error)));
page.on('console', (message) => {
  if (message.type() === 'error') {
    seen.errors.push(message.text());
  }
});
page.on('response', async (response) => {
  if (response.status() >= 400) {
    seen.errors.push(`${response.status()} ${new URL(response.url()).pathname}`);
  }
  if (response.headers()['content-type']?.startsWith('application/json')) {
    seen.data += await response.text().catch(() => '');
  }
});

await page.goto(`${url}/queues`);
await page.getByText('deliver', { exact: true }).first().waitFor();
seen.queues = await page.innerText('body');

await page.goto(`${url}/jobs?state=completed`);
const job = page.getByRole('link', { name: 'deliver', exact: true });
await job.waitFor();
seen.jobs = await page.innerText('body');

// Loaded anew: after a click the list, which shows the event too, is there until the job's page is.
await page.goto(new URL(await job.getAttribute('href'), page.url()).href);
await page.getByText(event).first().waitFor();
seen.job = await page.innerText('body');

await browser.close();
console.log(JSON.stringify(seen));
