// Calls a route handler of Next.js as Next.js does, with a Request and for a Response.
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { POST } from './app/webhooks/route.mjs';

createServer({ requestTimeout: 10_000, headersTimeout: 10_000, connectionsCheckingInterval: 1_000 }, async (req, res) => {
  const request = new Request(`http://${req.headers.host}${req.url}`, {
    method: req.method, headers: req.headers, body: Readable.toWeb(req), duplex: 'half',
  });
  const response = await POST(request);
  res.writeHead(response.status).end(Buffer.from(await response.arrayBuffer()));
}).listen(9100, '127.0.0.1');
