// Opens the console by the link that dev has printed, and waits for a delivery that has succeeded, as a newcomer would.
//
// node newcomer.mjs CHROMIUM FOLDER: the order is JSON on stdin: {link}. It prints {live, text}: how many milliseconds after the
// browser's start a delivery was seen, and its row.
import { chromium } from 'playwright-core';

const [executablePath, folder] = process.argv.slice(2);
const { link } = JSON.parse(await new Response(process.stdin).text());
const began = Date.now();
const timeout = 300_000; // a busy machine is no fault of a page
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const page = await (await browser.newContext()).newPage();
page.setDefaultTimeout(timeout);

await page.goto(link);
await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
await page.getByRole('link', { name: 'Live', exact: true }).click();
const row = page.locator('#live').getByRole('row').filter({ hasText: 'Succeeded' }).first();
await row.waitFor();
const live = Date.now() - began;
const text = await row.innerText();
await page.screenshot({ path: `${folder}/newcomer.png` });

await browser.close();
console.log(JSON.stringify({ live, text }));
