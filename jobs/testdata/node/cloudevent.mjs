// Reads an HTTP request from stdin and prints what the package cloudevents makes of it, as a JSON object in which data is the
// text of the body.
import { HTTP } from 'cloudevents';

const chunks = [];
for await (const chunk of process.stdin) {
  chunks.push(chunk);
}
const request = Buffer.concat(chunks);
const end = request.indexOf('\r\n\r\n');
const [, ...lines] = request.subarray(0, end).toString('latin1').split('\r\n');
const headers = {};
for (const line of lines) {
  const colon = line.indexOf(':');
  headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
}

const body = request.subarray(end + 4).toString('utf8');
if (!HTTP.isEvent({ headers, body })) {
  throw new Error('it is no CloudEvent');
}
const { specversion, id, type, source, time, datacontenttype } = HTTP.toEvent({ headers, body });
process.stdout.write(JSON.stringify({ specversion, id, type, source, time, datacontenttype, data: body }));
