// Walks through the portal as customers do, alone and in frames of other pages, and prints a JSON array of what went wrong.
//
// node portal.mjs CHROMIUM FOLDER: the order is JSON on stdin: {base, key, links: [url, …], event, host, second, foreign}. Each link is
// used once. host, second and foreign are pages of three sites that frame what stands behind their ?src=; foreign may not.
import { chromium } from 'playwright-core';

const [executablePath, folder] = process.argv.slice(2);
const order = JSON.parse(await new Response(process.stdin).text());
const timeout = 300_000; // a busy machine is no fault of a page
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout });
const found = [];
const link = () => order.links.shift();

// walk makes a fresh browser walk, and notes where it got stuck.
async function walk(name, options, steps) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(timeout);
  const page = await context.newPage();
  page.on('pageerror', (error) => found.push(`${name}: error: ${error}`));
  try {
    await steps(page, context);
  } catch (error) {
    found.push(`${name}: ${error}`);
    await page.screenshot({ path: `${folder}/${name.replaceAll(' ', '-')}.png`, fullPage: true });
  }
  await context.close();
}

const want = (ok, what) => {
  if (!ok) throw new Error(what);
};

// By keys alone, on a small screen. What a customer wants takes five interactions at most: a field is filled, something is chosen or pressed.
await walk('by keys', { viewport: { width: 320, height: 640 } }, async (page) => {
  let wants = '';
  let done = 0;
  const want5 = (what) => { [wants, done] = [what, 0]; };
  const act = async (key, text) => {
    done += 1;
    want(done <= 5, `${wants} takes more than 5 interactions`);
    if (text === undefined) await page.keyboard.press(key);
    else await page.keyboard.type(text);
  };
  const reach = async (locator) => {
    for (let i = 0; i < 80; i += 1) {
      if (await locator.evaluate((e) => e === document.activeElement)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`${wants}: Tab does not reach ${locator}`);
  };
  const press = async (locator) => {
    await reach(locator);
    await act('Enter');
  };
  const fill = async (locator, text) => {
    await reach(locator);
    await page.keyboard.press('Control+a');
    await act('', text);
  };
  const button = (name, root = page) => root.getByRole('button', { name, exact: true });
  const link = (name) => page.getByRole('link', { name });
  const dialog = () => page.getByRole('dialog');
  const says = (text) => page.getByText(text).first().waitFor();

  await page.goto(order.links.shift());
  await page.getByRole('heading', { name: 'Endpoints', level: 1 }).waitFor();
  want(!page.url().includes('#'), `the code is in ${page.url()}`);

  want5('adding an endpoint whose test is not answered');
  await press(link('Add an endpoint'));
  await fill(page.getByLabel('URL'), 'https://bad.acme.example/hooks');
  await act('Enter');
  await says('The test was not answered.');
  await says('whsec_');

  want5('mending it, and testing it again');
  await press(link('Edit'));
  await fill(page.getByLabel('URL'), 'https://good.acme.example/hooks');
  await act('Enter');
  await page.getByRole('heading', { name: 'good.acme.example', level: 1 }).waitFor(); // what is said of it goes soon
  await press(button('Test again'));
  await says('Your endpoint answered the test.');

  want5('rotating the secret');
  await press(button('Rotate the secret'));
  await press(button('Rotate the secret', dialog()));
  await says('This is the new one.');

  want5('building a filter');
  await press(link('Edit'));
  await fill(page.getByLabel('Field 1'), 'amount');
  await reach(page.getByLabel('Comparison 1'));
  await act('', 'is at least');
  await fill(page.getByLabel('Value 1'), '1000');
  await press(button('Save'));
  await says('$gte');

  want5('finding a missing event, and sending it again');
  await press(link('Missing an event?'));
  await fill(page.getByLabel('Its id'), order.event);
  await act('Enter');
  await page.waitForURL(`${order.base}/portal/events/${order.event}`);
  await says('Every attempt failed, and no other follows.');
  await press(button('Send again').first());
  await press(button('Send again', dialog()));
  await says('It is about to be sent.');

  want5('recovering what was missed');
  await press(page.getByRole('navigation', { name: 'Webhooks' }).getByRole('link', { name: 'Endpoints' }));
  await press(link('failing.acme.example'));
  await press(link('Recover'));
  await page.getByRole('heading', { name: 'Recover', level: 1 }).waitFor();
  await press(button('Deliver again'));
  await says('What was missed is delivered again');

  want5('logging out');
  await press(button('Log out'));
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
});

// Without a script: the code is pasted, and a change asks first.
await walk('without a script', { javaScriptEnabled: false }, async (page) => {
  const [address, code] = link().split('#');
  await page.goto(address);
  await page.getByLabel('Code').fill(code);
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('link', { name: 'failing.acme.example' }).click();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused: events wait.').waitFor();
});

// In a page of another site.
await walk('in a frame', {}, async (page, context) => {
  const frames = (at, src) => page.goto(`${at}/?src=${encodeURIComponent(src)}`);
  const inside = page.frameLocator('iframe');
  const heading = (name) => inside.getByRole('heading', { name, level: 1 });
  const src = link();
  await frames(order.host, src);
  await heading('Endpoints').waitFor();
  await inside.getByRole('link', { name: 'Activity' }).click();
  await heading('Activity').waitFor();
  want(await inside.getByRole('button', { name: 'Log out' }).count() === 0, 'a frame offers to log out');
  want(!(await page.content()).includes('session-expired'), 'the page around it is told too early');

  // The session is that page's: another site that frames the portal has none, nor has the portal alone.
  await frames(order.second, `${order.base}/portal`);
  await heading('Your session has ended').waitFor();
  await page.goto(`${order.base}/portal`);
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  await frames(order.host, `${order.base}/portal`);
  await heading('Endpoints').waitFor();

  // Its end is told to the page around it, and to no other.
  const ended = await context.request.delete(`${order.base}/api/portal-sessions?tenant_id=acme`, {
    headers: { authorization: `Bearer ${order.key}` },
  });
  want(ended.status() === 204, `ending the sessions answers ${ended.status()}`);
  await inside.getByRole('link', { name: 'Activity' }).click();
  await heading('Your session has ended').waitFor();
  await page.getByText(`outhook:session-expired from ${order.base}`).waitFor();
});

// By the element, which asks for another link once the session has ended.
await walk('by the element', {}, async (page, context) => {
  await page.goto(`${order.host}/element`);
  const inside = page.frameLocator('iframe');
  await inside.getByRole('heading', { name: 'Endpoints', level: 1 }).waitFor();
  const high = () => page.locator('iframe').evaluate((e) => e.style.height);
  await page.waitForFunction(() => document.querySelector('iframe').style.height.endsWith('px'));
  const before = await high();
  await inside.getByRole('link', { name: 'Help' }).click();
  await page.waitForFunction((was) => document.querySelector('iframe').style.height !== was, before);
  await page.evaluate(() => { Date.now = () => 1e14; }); // much later
  await context.request.delete(`${order.base}/api/portal-sessions?tenant_id=acme`, { headers: { authorization: `Bearer ${order.key}` } });
  await inside.getByRole('link', { name: 'Activity' }).click();
  await page.getByText('the session ended').waitFor();
  await inside.getByRole('heading', { name: 'Endpoints', level: 1 }).waitFor();
});

// In a page that may not.
await walk('in a foreign frame', {}, async (page) => {
  const fresh = (await (await fetch(`${order.base}/api/portal-sessions`, {
    method: 'POST', body: JSON.stringify({ tenant_id: 'acme' }),
    headers: { authorization: `Bearer ${order.key}`, 'content-type': 'application/json' },
  })).json()).url;
  const refused = page.waitForEvent('console', (m) => m.text().includes('frame-ancestors'));
  await page.goto(`${order.foreign}/?src=${encodeURIComponent(fresh)}`);
  await refused;
  want(await page.frameLocator('iframe').getByRole('heading', { name: 'Endpoints' }).count() === 0, 'a foreign page frames the portal');
});

await browser.close();
console.log(JSON.stringify(found));
