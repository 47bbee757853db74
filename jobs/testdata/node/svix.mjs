// Calls each method of Svix's SDK that Outhook answers, as it is published: its server URL and its token are all that is
// said. Arguments: the SDK's package, the server URL, the key, and a receiver for the endpoints.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const [sdk, serverUrl, token, receiver] = process.argv.slice(2);
const { Svix, Webhook, messageInRaw } = await import(sdk);
const svix = new Svix(token, { serverUrl });
const { application, endpoint, message, messageAttempt, backgroundTask } = svix;

// What 1.x calls otherwise.
const upsertEndpoint = (...given) => (endpoint.upsert ?? endpoint.update).apply(endpoint, given);
const upsertApplication = (...given) => (application.upsert ?? application.update).apply(application, given);
const setHeaders = (...given) => (endpoint.setHeaders ?? endpoint.updateHeaders).apply(endpoint, given);

const tests = {};
let made = 0;
const app = async (more = {}) => application.create({ name: "ACME", uid: `acme-${++made}-${randomUUID()}`, ...more });
const end = (a, path = "/ok", more = {}) => endpoint.create(a.id, { url: receiver + path, ...more });
const send = (a, more = {}) => message.create(a.id, { eventType: "invoice.paid", payload: { n: 1 }, ...more });

// refused wants an error with a status, and the code or the place of it.
async function refused(promise, status, what) {
  const e = await promise.then(() => assert.fail(`${status} ${what} was not refused`), (e) => e);
  assert.equal(e.code, status, e.stack);
  if (status === 422) {
    assert.ok(e.body.detail.length > 0);
    for (const d of e.body.detail) assert.ok(Array.isArray(d.loc) && d.msg && d.type, JSON.stringify(e.body));
    assert.ok(e.body.detail.some((d) => d.loc.join(".") === what), `${what}: ${JSON.stringify(e.body)}`);
  } else {
    assert.equal(e.body.code, what, JSON.stringify(e.body));
    assert.equal(typeof e.body.detail, "string");
  }
  return e;
}

async function until(what, look) {
  for (let end = Date.now() + 120_000; ; await new Promise((r) => setTimeout(r, 20))) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < end, `${what} did not come`);
  }
}

// through reads a list page by page to its end, and back to its beginning.
async function through(list, more = {}, id = (item) => item.id) {
  const all = [];
  let page, iterator;
  do {
    page = await list({ limit: 2, iterator, ...more });
    assert.ok(page.data.length <= 2);
    all.push(...page.data);
    iterator = page.iterator;
  } while (!page.done);
  if (all.length === 0) return all;

  const back = page.data;
  let prev = page.prevIterator;
  for (let done = false; !done && all.length > page.data.length; prev = page.prevIterator) {
    page = await list({ limit: 2, iterator: prev, ...more });
    back.unshift(...page.data);
    done = page.done;
  }
  assert.deepEqual(back.map(id), all.map(id));
  return all;
}

tests.applications = async () => {
  const uid = `uid-${randomUUID()}`;
  const a = await application.create({ name: "ACME", uid, metadata: { plan: "gold" } });
  assert.match(a.id, /^app_[0-9A-Za-z]{22}$/);
  assert.deepEqual([a.name, a.uid, a.metadata], ["ACME", uid, { plan: "gold" }]);
  assert.ok(a.createdAt instanceof Date && !Number.isNaN(a.createdAt.valueOf()));
  assert.deepEqual(await application.get(a.id), a);
  assert.deepEqual(await application.get(uid), a);

  await refused(application.create({ name: "ACME", uid }), 409, "conflict");
  assert.deepEqual(await application.getOrCreate({ name: "Other", uid }), a);
  const got = await application.getOrCreate({ name: "New", uid: `${uid}-2` });
  assert.equal(got.name, "New");

  const none = await application.create({ name: "No uid" });
  assert.equal(none.uid ?? null, null);
  assert.deepEqual(none.metadata, {});
  assert.deepEqual(await application.get(none.id), none);
  const uuid = randomUUID(); // a uid that looks like an id of Outhook
  assert.equal((await application.create({ name: "UUID", uid: uuid })).uid, uuid);
  assert.equal((await application.get(uuid)).name, "UUID");

  const put = await upsertApplication(uid, { name: "Changed", uid, metadata: { a: "b" } });
  assert.deepEqual([put.id, put.name, put.metadata], [a.id, "Changed", { a: "b" }]);
  assert.equal((await upsertApplication(`${uid}-3`, { name: "Made", uid: `${uid}-3` })).name, "Made");
  const patched = await application.patch(a.id, { metadata: { c: "d" } });
  assert.deepEqual([patched.name, patched.metadata], ["Changed", { c: "d" }]);

  await refused(application.create({ name: "" }), 422, "body.name");
  await refused(application.create({ name: "A", uid: "a b" }), 422, "body.uid");
  await refused(application.create({ name: "A", rateLimit: 5, throttleRate: 5 }), 422, sdk === "svix" ? "body.rateLimit" : "body.throttleRate");
  await refused(application.patch(a.id, { uid: "another" }), 422, "body.uid");
  await refused(application.get("nobody"), 404, "not_found");
  await refused(application.get("app_0000000000000000000000"), 404, "not_found");
  await refused(application.list({ limit: 251 }), 422, "query.limit");
  await refused(application.list({ iterator: "what" }), 422, "query.iterator");

  const all = await through((o) => application.list(o));
  assert.ok(all.length >= 5 && all.some((x) => x.id === a.id));
  const reversed = await through((o) => application.list(o), { order: "descending" });
  const ours = (list) => list.map((x) => x.id).filter((id) => [a.id, got.id, none.id].includes(id)); // others make some, too
  assert.deepEqual(ours(reversed), ours(all).reverse());

  await application.delete(a.id);
  await refused(application.get(uid), 404, "not_found");
  await refused(application.delete(uid), 404, "not_found");
  await refused(message.create(uid, { eventType: "a", payload: {} }), 404, "not_found");
};

tests.endpoints = async () => {
  const a = await app();
  const e = await endpoint.create(a.id, {
    url: `${receiver}/a`, description: "the first", uid: "main", eventTypes: ["invoice.paid"], filterTypes: ["invoice.paid"],
    throttleRate: 50, rateLimit: 50, metadata: { a: "b" }, headers: { "X-Own": "1", Authorization: "Bearer s3cret" },
  });
  assert.match(e.id, /^ep_[0-9A-Za-z]{22}$/);
  assert.deepEqual([e.url, e.description, e.uid, e.disabled, e.metadata], [`${receiver}/a`, "the first", "main", false, { a: "b" }]);
  assert.deepEqual(e.eventTypes ?? e.filterTypes, ["invoice.paid"]);
  assert.equal(e.throttleRate ?? e.rateLimit, 50);
  assert.deepEqual(await endpoint.get(a.uid, "main"), e);
  assert.deepEqual(await endpoint.get(a.id, e.id), e);
  const bare = await end(a, "/b");
  assert.deepEqual([bare.description, bare.metadata, bare.uid ?? null, bare.channels ?? null], ["", {}, null, null]);

  // Headers: in the beginning only if the SDK knows them there.
  if (sdk === "svix2") assert.deepEqual((await endpoint.getHeaders(a.id, e.id)).sensitive, ["authorization"]);
  await setHeaders(a.id, e.id, { headers: { "x-one": "1", "x-api-key": "s3cret" } });
  let h = await endpoint.getHeaders(a.id, e.id);
  assert.deepEqual([h.headers, h.sensitive], [{ "x-one": "1" }, ["x-api-key"]]);
  await endpoint.patchHeaders(a.id, e.id, { headers: { "x-two": "2", authorization: "Bearer x" }, deleteHeaders: ["x-one"] });
  h = await endpoint.getHeaders(a.id, e.id);
  assert.deepEqual([h.headers, h.sensitive.sort()], [{ "x-two": "2" }, ["authorization", "x-api-key"]]);
  await setHeaders(a.id, e.id, { headers: {} });
  h = await endpoint.getHeaders(a.id, e.id);
  assert.deepEqual([h.headers, h.sensitive], [{}, []]);
  await refused(setHeaders(a.id, e.id, { headers: { "webhook-id": "1" } }), 422, "body.headers.webhook-id");

  const put = await upsertEndpoint(a.id, "main", { url: `${receiver}/c` });
  assert.deepEqual([put.id, put.url, put.description, put.metadata, put.uid], [e.id, `${receiver}/c`, "", {}, "main"]);
  assert.equal(put.eventTypes ?? put.filterTypes ?? null, null);
  assert.equal(put.throttleRate ?? put.rateLimit ?? null, null);
  const fresh = await upsertEndpoint(a.id, "fresh", { url: `${receiver}/d`, uid: "fresh", disabled: true });
  assert.deepEqual([fresh.uid, fresh.disabled], ["fresh", true]);

  let p = await endpoint.patch(a.id, e.id, { disabled: true, throttleRate: 5, metadata: { z: "1" } });
  assert.deepEqual([p.disabled, p.metadata, p.url], [true, { z: "1" }, `${receiver}/c`]);
  p = await endpoint.patch(a.id, e.id, { disabled: false, throttleRate: null, uid: null });
  assert.deepEqual([p.disabled, p.throttleRate ?? null, p.uid ?? null], [false, null, null]);

  await refused(endpoint.create(a.id, { url: "ftp://example.com" }), 422, "body.url");
  await refused(endpoint.create(a.id, { url: receiver, filterTypes: [], eventTypes: [] }), 422, sdk === "svix" ? "body.filterTypes" : "body.eventTypes");
  await refused(endpoint.create(a.id, { url: receiver, uid: "fresh" }), 409, "conflict");
  await refused(endpoint.create("nobody", { url: receiver }), 404, "not_found");
  await refused(endpoint.get(a.id, "nothing"), 404, "not_found");
  await refused(endpoint.get((await app()).id, bare.id), 404, "not_found");

  const all = await through((o) => endpoint.list(a.id, o));
  assert.deepEqual(all.map((x) => x.id), [fresh.id, bare.id, e.id], "newest first, as Svix has it");
  assert.deepEqual((await through((o) => endpoint.list(a.id, o), { order: "ascending" })).map((x) => x.id), [e.id, bare.id, fresh.id]);
  await endpoint.delete(a.id, bare.id);
  await refused(endpoint.get(a.id, bare.id), 404, "not_found");
};

tests.secrets = async () => {
  const a = await app();
  const given = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
  const e = await end(a, "/ok", { secret: given });
  assert.equal((await endpoint.getSecret(a.id, e.id)).key, given);
  const other = Buffer.alloc(24, 8).toString("base64");
  await endpoint.rotateSecret(a.id, e.id, { key: other });
  assert.equal((await endpoint.getSecret(a.id, e.id)).key, `whsec_${other}`);
  await refused(endpoint.rotateSecret(a.id, e.id, {}), 400, "limit_reached");
  const drawn = await end(a);
  const before = (await endpoint.getSecret(a.id, drawn.id)).key;
  await endpoint.rotateSecret(a.id, drawn.id, { gracePeriodSeconds: 0 });
  assert.notEqual((await endpoint.getSecret(a.id, drawn.id)).key, before);
  await refused(endpoint.rotateSecret(a.id, drawn.id, { key: "whsk_x" }), 422, "body.secret");
};

tests.messages = async () => {
  const a = await app();
  await end(a);
  const m = await message.create(a.id, { eventType: "invoice.paid", payload: { n: 1 }, eventId: "e-1" }, { withContent: true });
  assert.match(m.id, /^msg_[0-9A-Za-z]{22}$/);
  assert.deepEqual([m.eventType, m.eventId, m.payload], ["invoice.paid", "e-1", { n: 1 }]);
  assert.ok(Math.abs(m.timestamp - Date.now()) < 60_000);
  assert.deepEqual((await message.create(a.uid, { eventType: "a", payload: { b: 1 } }, { withContent: false })).payload, {});
  assert.deepEqual((await message.get(a.id, m.id, { withContent: true })).payload, { n: 1 });
  assert.equal((await message.get(a.id, "e-1")).id, m.id);
  assert.deepEqual((await message.get(a.id, m.id, { withContent: false })).payload, {});

  await refused(send(a, { eventId: "e-1" }), 409, "conflict");
  await refused(send(a, { eventId: "e-1", payload: { n: 2 } }), 409, "conflict");
  await refused(message.create("nobody", { eventType: "a", payload: {} }), 404, "not_found");
  await refused(send(a, { eventType: "no good" }), 422, "body.eventType");
  await refused(send(a, { payload: [1] }), 422, "body.payload");
  await refused(send(a, { payloadRetentionPeriod: 30 }), 422, "body.payloadRetentionPeriod");
  await refused(message.get(a.id, "msg_0000000000000000000000"), 404, "not_found");
  await refused(message.get((await app()).id, m.id), 404, "not_found");

  // An application with its first message.
  const uid = `new-${randomUUID()}`;
  await message.create(uid, { eventType: "a", payload: {}, application: { name: "New", uid } });
  assert.equal((await application.get(uid)).name, "New");
  await refused(message.create(`${uid}-2`, { eventType: "a", payload: {}, application: { name: "New", uid } }), 422, "body.application.uid");

  // What is sent as it is.
  const raw = '{"b": 1.0,\n "a":"é\\u00e9"}';
  const r = await message.create(a.id, messageInRaw("raw.one", raw));
  const [tried] = await until("an attempt", async () => {
    const { data } = await messageAttempt.listByMsg(a.id, r.id, { withContent: true });
    return data.length > 0 && data;
  });
  assert.equal(tried.response, raw);
  await refused(message.create(a.id, messageInRaw("raw.one", "<xml/>", "application/xml")), 422, "body.transformationsParams.rawPayload");

  // What is for later.
  const other = await app();
  const at = new Date(Date.now() + 3_600_000);
  const later = await send(other, { deliverAt: at });
  for (const x of [later, await message.get(other.id, later.id)]) assert.equal(x.deliverAt.getTime(), at.getTime());
  await refused(send(other, { deliverAt: new Date(Date.now() + 40 * 86_400_000) }), 422, "body.deliverAt");

  const all = await through((o) => message.list(a.id, o), { withContent: true });
  assert.deepEqual(all.map((x) => x.eventType), ["raw.one", "a", "invoice.paid"]);
  assert.deepEqual(all.at(-1).payload, { n: 1 });
  assert.deepEqual((await message.list(a.id, { eventTypes: ["a"] })).data.map((x) => x.eventType), ["a"]);
  assert.deepEqual((await through((o) => message.list(a.id, o), { eventTypes: ["a", "raw.one"] })).map((x) => x.eventType), ["raw.one", "a"]);
  assert.equal((await message.list(a.id, { before: m.timestamp })).data.length, 0);
  assert.equal((await message.list(a.id, { after: m.timestamp })).data.filter((x) => x.id === m.id).length, 0);
  assert.deepEqual((await message.list(a.id, { withContent: false })).data.map((x) => x.payload), [{}, {}, {}]);
  const empty = await message.list((await app()).id);
  assert.deepEqual([empty.data, empty.iterator, empty.done], [[], null, true]);

  // Channels choose endpoints, and tags are looked for.
  const c = await app();
  const eu = await endpoint.create(c.id, { url: `${receiver}/ok`, channels: ["eu", "us"] });
  const every = await end(c, "/ok");
  assert.deepEqual([eu.channels, (await endpoint.get(c.id, eu.id)).channels, every.channels ?? null], [["eu", "us"], ["eu", "us"], null]);
  const to = [];
  for (const given of [{ channels: ["eu", "asia"], tags: ["eu", "vip"] }, { channels: ["asia"] }, { tags: ["eu"] }, {}]) {
    const x = await send(c, given);
    for (const y of [x, await message.get(c.id, x.id), (await message.list(c.id, { limit: 1 })).data[0]]) {
      assert.deepEqual([y.id, y.channels ?? null, y.tags ?? null], [x.id, given.channels ?? null, given.tags ?? null]);
    }
    const ends = await through((o) => messageAttempt.listAttemptedDestinations(c.id, x.id, o));
    to.push([x.id, ends.some((d) => d.id === eu.id), ends.some((d) => d.id === every.id)]);
  }
  assert.deepEqual(to.map((x) => x.slice(1)), [[true, true], [false, true], [false, true], [false, true]]);
  const found = async (o) => (await through((p) => message.list(c.id, p), o)).map((x) => to.findIndex(([id]) => id === x.id));
  assert.deepEqual(await found({ channel: "asia" }), [1, 0]);
  assert.deepEqual(await found({ tag: "eu" }), [2, 0]);
  assert.deepEqual(await found({ channel: "asia", tag: "vip" }), [0]);
  assert.deepEqual(await found({ channel: "us" }), []);
  await endpoint.patch(c.id, eu.id, { channels: null });
  assert.equal((await endpoint.get(c.id, eu.id)).channels ?? null, null);
  const alone = await app();
  await endpoint.create(alone.id, { url: `${receiver}/ok`, channels: ["eu"] });
  assert.equal((await message.precheck(alone.id, { eventType: "a", channels: ["eu", "x"] })).active, true);
  assert.equal((await message.precheck(alone.id, { eventType: "a", channels: ["x"] })).active, false);
  assert.equal((await message.precheck(alone.id, { eventType: "a" })).active, false);

  await message.expungeContent(a.id, m.id);
  assert.deepEqual((await message.get(a.id, m.id, { withContent: true })).payload, { expired: true });
  assert.equal((await message.precheck(a.id, { eventType: "a" })).active, true);
  assert.equal((await message.precheck((await app()).id, { eventType: "a" })).active, false);
  if (message.bulkExpungeContent) {
    const { results } = await message.bulkExpungeContent(a.id, { ids: [r.id, "no-such"] });
    assert.deepEqual(results, { [r.id]: "expunged", "no-such": "not-found" });
  }
};

tests.eventTypes = async () => {
  const { eventType } = svix;
  const upsert = (...given) => (eventType.upsert ?? eventType.update).apply(eventType, given);
  const group = `G${++made}`;
  const name = (what) => `svix_${sdk}.${what}`;
  const schema = (type) => ({
    type: "object", required: ["id"], properties: { id: { $ref: "#/$defs/id" } }, $defs: { id: { type } }, examples: [{ id: "e-1" }],
  });

  const paid = await eventType.create({
    name: name("paid"), description: "It was paid", schemas: { 1: schema("string") }, groupName: group, featureFlags: ["beta"],
  });
  assert.deepEqual([paid.name, paid.description, paid.archived, paid.groupName, paid.featureFlags ?? [paid.featureFlag]],
    [name("paid"), "It was paid", false, group, ["beta"]]);
  assert.deepEqual(Object.keys(paid.schemas), ["1"]);
  assert.equal(paid.schemas[1].required[0], "id");
  assert.ok(paid.createdAt instanceof Date && !Number.isNaN(paid.updatedAt.valueOf()));
  assert.deepEqual(await eventType.get(name("paid")), paid);
  await refused(eventType.create({ name: name("paid"), description: "Another" }), 409, "conflict");
  const mine = { idempotencyKey: randomUUID() };
  for (let i = 0; i < 2; i++) assert.equal((await eventType.create({ name: name("again"), description: "Twice" }, mine)).description, "Twice");
  await refused(eventType.create({ name: name("again"), description: "Thrice" }, mine), 409, "conflict");

  // A patch leaves what it does not name, and a schema that differs is a new version.
  const patched = await eventType.patch(name("paid"), { description: "Paid" });
  assert.deepEqual([patched.description, patched.groupName, Object.keys(patched.schemas)], ["Paid", group, ["1"]]);
  const second = await eventType.patch(name("paid"), { schemas: { 1: schema("string"), 2: schema(["string", "integer"]) } });
  assert.deepEqual(Object.keys(second.schemas), ["2"]);
  const bare = await eventType.patch(name("paid"), { groupName: null, featureFlags: null });
  assert.deepEqual([bare.groupName ?? null, bare.featureFlags ?? null, Object.keys(bare.schemas)], [null, null, ["2"]]);
  assert.equal((await eventType.patch(name("paid"), { archived: true })).archived, true);
  assert.equal((await eventType.patch(name("paid"), { description: "Kept" })).archived, true);
  const back = await eventType.create({ name: name("paid"), description: "Back", schemas: { 1: schema("string") } });
  assert.deepEqual([back.archived, back.description, Object.keys(back.schemas)], [false, "Back", ["3"]]);

  assert.equal((await upsert(name("put"), { description: "Made" })).description, "Made");
  const put = await upsert(name("put"), { description: "Changed", groupName: group });
  assert.deepEqual([put.description, put.groupName, put.schemas ?? null], ["Changed", group, null]);

  await refused(eventType.create({ name: "a-b", description: "" }), 422, "body.name");
  await refused(eventType.create({ name: name("bad"), description: "x", schemas: { 1: { type: "nothing" } } }), 422, "body.schemas");
  await refused(eventType.create({ name: name("bad"), description: "x", schemas: { one: {} } }), 422, "body.schemas");
  await refused(eventType.create({ name: name("bad"), description: "x".repeat(20_000) }), 422, "body.description");
  await refused(eventType.patch(name("none"), { description: "x" }), 404, "not_found");
  await refused(eventType.get(name("none")), 404, "not_found");

  await eventType.delete(name("put"));
  assert.equal((await eventType.get(name("put"))).archived, true);
  const names = (list) => list.map((t) => t.name).filter((n) => n.startsWith(`svix_${sdk}.`));
  const byName = (t) => t.name;
  assert.deepEqual(names(await through((o) => eventType.list(o), {}, byName)), [name("paid"), name("again")]);
  const all = await through((o) => eventType.list(o), { includeArchived: true, withContent: true, order: "descending" }, byName);
  assert.deepEqual(names(all), [name("put"), name("again"), name("paid")]);
  assert.deepEqual(Object.keys(all.find((t) => t.name === name("paid")).schemas), ["3"]);
  await eventType.delete(name("put"), { expunge: true });
  await refused(eventType.get(name("put")), 404, "not_found");
  await refused(eventType.delete(name("put")), 404, "not_found");

  // Its example, as a test of one endpoint.
  const a = await app();
  const e = await end(a);
  const sent = await endpoint.sendExample(a.id, e.id, { eventType: name("paid") });
  assert.deepEqual([sent.eventType, sent.payload], ["outhook.test", { id: "e-1" }]);
  await refused(endpoint.sendExample(a.id, e.id, { eventType: name("again") }), 422, "body.eventType");
};

tests.attempts = async () => {
  const a = await app();
  const good = await end(a, "/ok");
  const bad = await end(a, "/fail");
  const sent = [await send(a), await send(a, { payload: { n: 2 } }), await send(a, { eventType: "b", payload: { n: 3 } })];
  const tried = (e, n) => until(`${n} attempts`, async () => {
    const { data } = await messageAttempt.listByEndpoint(a.id, e.id, { withContent: true, expandedStatuses: false });
    return data.length === n && data;
  });
  const [ok] = await tried(good, 3);
  const [no] = await tried(bad, 3);
  assert.match(ok.id, /^atmpt_[0-9A-Za-z]{27}$/);
  assert.deepEqual(
    [ok.msgId, ok.endpointId, ok.url, ok.responseStatusCode, ok.status, ok.triggerType, ok.response],
    [sent[2].id, good.id, `${receiver}/ok`, 200, 0, 0, '{"n":3}'],
  );
  assert.deepEqual([no.msgId, no.responseStatusCode, no.status, no.response], [sent[2].id, 500, 2, "no"]);
  assert.ok(ok.responseDurationMs >= 0 && ok.timestamp instanceof Date);
  assert.deepEqual(await messageAttempt.get(a.id, ok.msgId, ok.id), ok);
  await refused(messageAttempt.get(a.id, sent[0].id, ok.id), 404, "not_found");
  await refused(messageAttempt.get(a.id, ok.msgId, "atmpt_x"), 404, "not_found");

  const byMsg = (o) => messageAttempt.listByMsg(a.id, sent[0].id, o);
  assert.deepEqual((await through(byMsg)).map((x) => x.endpointId).sort(), [good.id, bad.id].sort());
  assert.deepEqual((await byMsg({ status: 0 })).data.map((x) => x.endpointId), [good.id]);
  assert.deepEqual((await byMsg({ statusCodeClass: 500 })).data.map((x) => x.endpointId), [bad.id]);
  assert.deepEqual((await byMsg({ endpointId: bad.id })).data.map((x) => x.endpointId), [bad.id]);
  assert.deepEqual((await byMsg({ eventTypes: ["invoice.paid"] })).data.length, 2);
  assert.deepEqual((await byMsg({ eventTypes: ["b"] })).data, []);
  assert.deepEqual((await byMsg({ withContent: false })).data.map((x) => x.response), ["", ""]);
  assert.deepEqual((await byMsg({ expandedStatuses: true, status: 3 })).data.map((x) => x.statusText), ["sending"]);

  const byEnd = (o) => messageAttempt.listByEndpoint(a.id, bad.id, o);
  assert.deepEqual((await through(byEnd)).map((x) => x.msgId), sent.map((x) => x.id).reverse());
  assert.deepEqual((await byEnd({ eventTypes: ["b"] })).data.map((x) => x.msgId), [sent[2].id]);
  assert.deepEqual((await byEnd({ withMsg: true, withContent: true, limit: 1 })).data[0].msg.payload, {});
  assert.equal((await byEnd({ status: 0 })).data.length, 0);

  const messages = await through((o) => messageAttempt.listAttemptedMessages(a.id, bad.id, o), { withContent: true });
  assert.deepEqual(messages.map((x) => [x.id, x.status, x.payload.n]), sent.map((x, i) => [x.id, 3, i + 1]).reverse());
  assert.ok(messages[0].nextAttempt > new Date());
  const ends = await through((o) => messageAttempt.listAttemptedDestinations(a.id, sent[0].id, o));
  assert.deepEqual(ends.map((x) => [x.id, x.status, x.url]).sort(), [[good.id, 0, `${receiver}/ok`], [bad.id, 3, `${receiver}/fail`]].sort());

  await messageAttempt.resend(a.id, sent[0].id, good.id);
  const again = await until("the attempt that was ordered", async () => (await byMsg({ endpointId: good.id })).data.find((x) => x.triggerType === 1));
  assert.notEqual(again.id, (await byMsg({ endpointId: good.id })).data[1].id);
  assert.deepEqual((await through((o) => messageAttempt.listByEndpoint(a.id, good.id, o))).length, 4);
  await refused(messageAttempt.resend(a.id, "nothing", good.id), 404, "not_found");
  await message.expungeContent(a.id, sent[0].id);
  await refused(messageAttempt.resend(a.id, sent[0].id, good.id), 400, "missing_payload");

  const stats = await endpoint.getStats(a.id, bad.id, { since: new Date(Date.now() - 3_600_000) });
  assert.deepEqual([stats.pending, stats.sending], [0, 2]); // one is expunged; what ends is counted within a minute
  for (const name of ["success", "fail", "canceled"]) assert.equal(typeof stats[name], "number");
};

tests.recover = async () => {
  const a = await app();
  const off = await end(a, "/ok", { disabled: true });
  const other = await end(a, "/ok");
  const since = new Date(Date.now() - 60_000);
  const m = await send(a);
  await endpoint.patch(a.id, off.id, { disabled: false });
  const missing = await endpoint.replayMissing(a.id, off.id, { since });
  assert.match(missing.id, /^qtask_[0-9A-Za-z]{22}$/);
  assert.equal(missing.task, "endpoint.replay");
  await until("what was missed", async () => (await messageAttempt.listByEndpoint(a.id, off.id)).data.find((x) => x.msgId === m.id));
  const finished = (task) => until(`task ${task.id}`, async () => (await backgroundTask.get(task.id)).status === "finished");
  await finished(missing);

  const recovered = await endpoint.recover(a.id, off.id, { since });
  assert.equal(recovered.task, "endpoint.recover");
  await finished(recovered);
  await until("the first delivery", async () => (await messageAttempt.listAttemptedMessages(a.id, other.id)).data[0]?.status === 0);
  const bulk = await endpoint.bulkReplay(a.id, other.id, { since, status: 0 });
  assert.equal(bulk.task, "endpoint.bulk-replay");
  await finished(bulk);
  await until("the replay", async () => (await messageAttempt.listByEndpoint(a.id, other.id)).data.length === 2);

  const tasks = await through((o) => backgroundTask.list(o), { status: "finished" });
  for (const t of [missing, recovered, bulk]) assert.ok(tasks.some((x) => x.id === t.id));
  assert.ok((await backgroundTask.list({ task: "endpoint.bulk-replay" })).data.every((x) => x.task === "endpoint.bulk-replay"));
  await refused(endpoint.recover(a.id, off.id, { since: new Date(Date.now() + 3_600_000) }), 422, "body.since");
  await refused(endpoint.bulkReplay(a.id, off.id, { since, channel: "x" }), 422, "body.channel");
  await refused(backgroundTask.get("qtask_0000000000000000000000"), 404, "not_found");
};

tests.operational = async () => {
  const ops = svix.operationalWebhookEndpoint ?? svix.operationalWebhook.endpoint;
  const of = (...names) => ({ filterTypes: names, eventTypes: names });
  const e = await ops.create({ url: `${receiver}/ok`, uid: `ops-${randomUUID()}`, metadata: { a: "b" }, ...of("endpoint.disabled") });
  assert.deepEqual([e.filterTypes ?? e.eventTypes, e.metadata, e.description], [["endpoint.disabled"], { a: "b" }, ""]);
  assert.deepEqual(await ops.get(e.uid), e);
  await ops.create({ url: `${receiver}/ok` });
  await ops.create({ url: `${receiver}/ok`, ...of("message.attempt.failing", "message.attempt.recovered") });
  assert.ok((await through((o) => ops.list(o))).some((x) => x.id === e.id));
  const put = await (ops.upsert ?? ops.update).call(ops, e.id, { url: `${receiver}/other` });
  assert.deepEqual([put.id, put.url, put.filterTypes ?? put.eventTypes ?? null], [e.id, `${receiver}/other`, null]);

  await (ops.setHeaders ?? ops.updateHeaders).call(ops, e.id, { headers: { "x-one": "1" } });
  assert.deepEqual((await ops.getHeaders(e.id)).headers, { "x-one": "1" });
  const before = (await ops.getSecret(e.id)).key;
  await ops.rotateSecret(e.id, {});
  assert.notEqual((await ops.getSecret(e.id)).key, before);
  await refused(ops.create({ url: receiver, ...of("endpoint.created") }), 422, sdk === "svix" ? "body.filterTypes" : "body.eventTypes");
  await ops.delete(e.id);
  await refused(ops.get(e.id), 404, "not_found");
};

tests.repeats = async () => {
  const uid = `twice-${randomUUID()}`;
  const options = { idempotencyKey: `key-${randomUUID()}` };
  const first = await application.create({ name: "Twice", uid }, options);
  assert.deepEqual(await application.create({ name: "Twice", uid }, options), first);
  await refused(application.create({ name: "Twice", uid }), 409, "conflict");
  const none = { idempotencyKey: `key-${randomUUID()}` };
  assert.equal((await application.create({ name: "N" }, none)).id, (await application.create({ name: "N" }, none)).id);

  const e = await endpoint.create(uid, { url: `${receiver}/ok` }, options);
  assert.equal((await endpoint.create(uid, { url: `${receiver}/ok` }, options)).id, e.id);
  const m = await message.create(uid, { eventType: "a", payload: {} }, options);
  assert.equal((await message.create(uid, { eventType: "a", payload: {} }, options)).id, m.id);
  await refused(message.create(uid, { eventType: "b", payload: {} }, options), 409, "conflict");
  const other = { idempotencyKey: `key-${randomUUID()}` };
  const named = await message.create(uid, { eventType: "a", payload: {}, eventId: "n" }, other);
  assert.equal((await message.create(uid, { eventType: "a", payload: {}, eventId: "n" }, other)).id, named.id);
  await endpoint.rotateSecret(uid, e.id, {}, options);
  await endpoint.rotateSecret(uid, e.id, {}, options);
};

tests.others = async () => {
  await svix.health.get();
  const wrong = new Svix("outhook_wrong", { serverUrl });
  await refused(wrong.application.list(), 401, "authentication_failed");
  const a = await app();
  for (const call of [
    () => svix.statistics.aggregateEventTypes(), () => svix.integration.list(a.id), () => svix.environment.export(),
    () => svix.ingest.source.list(), () => endpoint.sendExample(a.id, "x", { eventType: "a" }),
    () => svix.eventType.importOpenapi({ specRaw: "{}" }),
  ]) await refused(call(), 404, "not_found");
  const trailing = await fetch(`${serverUrl}/api/v1/app/${a.id}/`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await trailing.json()).id, a.id);
  assert.equal(typeof Webhook, "function");
};

const failed = [];
for (const [name, test] of Object.entries(tests)) {
  await test().catch((e) => failed.push(name) && console.error(name, e));
}
if (failed.length > 0) process.exit(1);
console.log("all calls work");
