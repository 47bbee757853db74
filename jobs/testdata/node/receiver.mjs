// Receives webhooks and verifies them with the secret that their path names.
//
// OUTHOOK_TEST_SECRETS is a JSON object: a path's secret. OUTHOOK_TEST_NOW, if set, is the time in Unix seconds, and stands
// still. The first line of stdout is the server's URL. An answer is 200 if everybody verified the request and else 401,
// with a JSON object: the verdicts, the request's webhook-id, and what arrived. The process ends when its stdin does, so
// it cannot outlive the test.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { verdicts } from './verify.mjs';

const secrets = JSON.parse(process.env.OUTHOOK_TEST_SECRETS);
if (process.env.OUTHOOK_TEST_NOW) {
  Date.now = () => Number(process.env.OUTHOOK_TEST_NOW) * 1000;
}

async function receive(request, response) {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const by = verdicts(secrets[request.url], request.headers, body);
  const valid = Object.values(by).every((verdict) => verdict === 'ok');
  response.writeHead(valid ? 200 : 401, { 'content-type': 'application/json' });
  response.end(JSON.stringify({
    verdicts: by,
    id: request.headers['webhook-id'],
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
  }));
}

const server = createServer(receive);
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on('end', () => process.exit(0)).resume();
