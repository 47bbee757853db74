// Verifies webhooks as receivers in JavaScript do.
import { createHmac } from 'node:crypto';
import * as standardwebhooks from 'standardwebhooks';
import * as svix from 'svix';

// verdicts returns what each way of verifying says of a request: "ok", or why not. svix brings a version of
// standardwebhooks of its own. Both take the body for UTF-8 text; hmac, which is the specification's one line, takes the
// bytes. It has no opinion on the time.
export function verdicts(secret, headers, body) {
  return {
    standardwebhooks: verdict(() => new standardwebhooks.Webhook(secret).verify(body, headers)),
    svix: verdict(() => new svix.Webhook(secret).verify(body, headers)),
    hmac: verdict(() => verifyHMAC(secret, headers, body)),
  };
}

function verdict(verify) {
  try {
    verify();
    return 'ok';
  } catch (error) {
    return String(error.message);
  }
}

function verifyHMAC(secret, headers, body) {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const mac = createHmac('sha256', key).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`).update(body);
  const expected = `v1,${mac.digest('base64')}`;
  if (!(headers['webhook-signature'] ?? '').split(' ').includes(expected)) {
    throw new Error('No matching signature found');
  }
}
