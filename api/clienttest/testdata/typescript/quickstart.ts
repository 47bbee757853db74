// Makes the calls of the quick start with openapi-fetch and the types that openapi-typescript has made.
import createClient from "openapi-fetch";

import type { paths } from "./outhook.js";

declare const process: { env: Record<string, string> };
const { OUTHOOK_URL: baseUrl, OUTHOOK_API_KEY: key, TENANT: tenant_id, RECEIVER: url } = process.env as Record<string, string> & {
  OUTHOOK_URL: string; OUTHOOK_API_KEY: string; TENANT: string; RECEIVER: string;
};

const client = createClient<paths>({
  baseUrl,
  headers: { authorization: `Bearer ${key}` },
  querySerializer: { array: { style: "form", explode: false } }, // lists have commas
});

const endpoint = await client.POST("/api/endpoints", { body: { tenant_id, url } });
if (!endpoint.data) throw new Error(`${endpoint.error.code}: ${endpoint.error.detail}`);

const event = await client.POST("/api/events", {
  body: { tenant_id, type: "invoice.paid", payload: { id: 17, amount: 4200 } },
});
if (!event.data) throw new Error(`${event.error.code}: ${event.error.detail}`);

let state = "pending";
for (let i = 0; state === "pending" && i < 600; i++) {
  const deliveries = await client.GET("/api/deliveries", { params: { query: { tenant_id, event_id: event.data.id } } });
  state = deliveries.data?.items[0]?.state ?? "pending";
  await new Promise((resolve) => setTimeout(resolve, 50));
}

// A limit is set and taken away again; lists narrow by metadata, and by several outcomes.
const path = { id: endpoint.data.id };
await client.PATCH("/api/endpoints/{id}", {
  params: { path }, body: { rate_limit: { requests: 10, per: "second" }, metadata: { plan: "gold" } },
});
const found = await client.GET("/api/endpoints", { params: { query: { tenant_id, metadata: { plan: "gold" } } } });
if (found.data?.items[0]?.rate_limit?.requests !== 10) throw new Error(JSON.stringify(found.error ?? found.data));
const changed = await client.PATCH("/api/endpoints/{id}", { params: { path }, body: { rate_limit: null, retry_schedule: null } });
if (changed.data?.rate_limit !== null) throw new Error(JSON.stringify(changed.error ?? changed.data));
const attempts = await client.GET("/api/events/{id}/attempts", {
  params: { path: { id: event.data.id }, query: { outcome: ["succeeded", "unknown"] } },
});
if (attempts.data?.items.length !== 1) throw new Error(JSON.stringify(attempts.error ?? attempts.data));

console.log(state);
