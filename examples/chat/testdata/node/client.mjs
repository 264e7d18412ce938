// A client of the chat with Node's ws. It writes a line for each step that it
// has done, and fails at the first that goes wrong.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import WebSocket from 'ws';

const { CHAT_URL: url, CHAT_TOKEN: token } = process.env;

function connect() {
  const socket = new WebSocket(url, ['bearer', token]);
  const inbox = [];
  let wake = () => {};
  socket.on('message', (data, binary) => {
    assert.equal(binary, false);
    inbox.push(JSON.parse(data));
    wake();
  });
  const receive = async () => {
    while (inbox.length === 0) {
      await new Promise((resolve) => { wake = resolve; });
    }
    return inbox.shift();
  };
  const send = (message) => socket.send(JSON.stringify(message));
  const closed = new Promise((resolve) => socket.on('close', (code) => resolve(code)));
  return { socket, receive, send, closed };
}

// Without a token.
const refused = new WebSocket(url);
const [, response] = await once(refused, 'unexpected-response');
assert.equal(response.statusCode, 401);
let body = '';
for await (const chunk of response) {
  body += chunk;
}
assert.ok(JSON.parse(body).error);
console.log('refused');

const client = connect();
await once(client.socket, 'open');
assert.equal(client.socket.protocol, 'bearer');
client.send({ type: 'chat.join', room: 'tea' });
assert.deepEqual(await client.receive(), { type: 'chat.joined', room: 'tea' });
console.log('joined');

const heard = await client.receive();
assert.deepEqual(heard, { type: 'chat.said', room: 'tea', user: 'Ada', text: 'from Go' });
client.send({ type: 'chat.say', room: 'tea', text: 'from Node' });
assert.deepEqual(await client.receive(), { type: 'chat.said', room: 'tea', user: 'Node', text: 'from Node' });
client.send({ type: 'billing.status' });
assert.equal((await client.receive()).type, 'billing.status');
client.socket.send('{"type":"chat.say", cut off');
assert.equal((await client.receive()).type, 'error');
client.socket.ping('are you there');
const [pong] = await once(client.socket, 'pong');
assert.equal(pong.toString(), 'are you there');

const large = connect();
await once(large.socket, 'open');
large.socket.send('x'.repeat(1 << 20));
assert.equal(await large.closed, 1009);
console.log('talked');

assert.equal(await client.closed, 1001);
console.log('dismissed');
