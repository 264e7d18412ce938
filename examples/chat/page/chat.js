// The chat page. Names and texts of people are only ever put into the page as
// text nodes. The token is kept in memory and sent in the subprotocol alone.
import { Connection, GiveUp } from './connection.js';
import { Log } from './log.js';

const element = (id) => document.getElementById(id);
const log = new Log(element('scroller'), element('log'), element('nothing'), element('newer'));

let user = '';
let room = '';
let connection = null; // from entering to leaving
let joined = false; // the room, with the connection that is open
let before = false; // it was joined before
let late = false; // a connection was lost, or could not be made, since it was last joined
let said = 0; // how often something was
const pending = new Map(); // what was said and not yet heard, by its number

/* The connection */

async function signIn(signal) {
  const answer = await fetch('login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user }),
    signal,
  });
  const body = await answer.json();
  if (answer.status >= 400 && answer.status < 500) {
    throw new GiveUp(body.error);
  }
  if (!answer.ok) {
    throw new Error('the server cannot sign anyone in');
  }
  return { token: body.token, lifetime: body.expires_in };
}

function newConnection() {
  const made = new Connection('ws', {
    token: signIn,
    protocols: (token) => ['bearer', token],
    connect: () => made.send({ type: 'chat.join', room }),
    renew: (token) => made.send({ type: 'auth.renew', token }),
    probe: () => made.send({ type: 'chat.ping' }),
    message: receive,
    state: showState,
    ...globalThis.chatTimes, // of tests, which do not wait for long
  });
  return made;
}

function receive(message) {
  switch (message.type) {
    case 'chat.joined':
      joined = true;
      late = false;
      complain('');
      showStatus('open', `Connected as ${user}`);
      log.notice(before ? `You are back in ${message.room}. What others have said meanwhile is not shown.` : `You are in ${message.room}.`);
      log.invite();
      before = true;
      break;
    case 'chat.said':
      if (message.user === user) {
        const [heard] = [...pending].find(([, text]) => text === message.text) ?? [];
        pending.delete(heard);
      }
      log.message(message.user, message.text, message.user === user);
      break;
    case 'billing.status':
      log.notice(`Billing: your plan is ${message.plan}, it is ${message.state}.`);
      break;
    case 'error':
      if (!joined) {
        connection.giveUp({ reason: message.error });
        break;
      }
      if (pending.has(message.id)) {
        restore([pending.get(message.id)]);
        pending.delete(message.id);
      }
      complain(`Sorry: ${message.error}.`);
      break;
  }
}

/* What a person sees and does */

function showState({ phase, until, why }) {
  const wasJoined = joined;
  if (joined && phase !== 'open') {
    joined = false;
    log.notice(farewell(why) + (pending.size ? ' What you said last may not have been heard, it is back below.' : ''));
    restore(pending.values());
    pending.clear();
  }
  switch (phase) {
    case 'connecting':
      showStatus(phase, late ? 'Trying again' : 'Connecting…', late ? 'now' : '');
      break;
    case 'waiting':
      late = true;
      countDown(until);
      break;
    case 'offline':
      late = true;
      showStatus(phase, 'You are offline');
      break;
    case 'given up':
      if (!before) {
        turnAway(reason(why));
        break;
      }
      late = true;
      showStatus('closed', 'Disconnected');
      if (!wasJoined) {
        log.notice(`The server does not let you in again: ${reason(why)}.`);
      }
      break;
  }
}

function reason(why) {
  return why.error?.message || why.reason || 'it gives no reason';
}

// farewell says why a connection has ended.
function farewell(why) {
  if (why.silent) {
    return 'The server has stopped answering.';
  }
  if (why.left) {
    return 'You had left this page.';
  }
  switch (why.code) {
    case undefined: return 'You are offline.';
    case 1001: return why.reason === 'max age' ? 'It is time for a new connection.' : 'The server is going away. You will be back in a moment.';
    case 1008: case 4403: return `The server has closed your connection: ${reason(why)}.`;
    case 1009: return 'That was too long to be sent.';
    case 1012: return 'The server restarts. You will be back in a moment.';
    case 1013: return 'Your connection could not keep up and was closed.';
    case 4401: return 'Your sign-in has expired.';
    default: return 'The connection was lost.';
  }
}

let ticking = 0;

function countDown(until) {
  const left = Math.max(1, Math.ceil((until - Date.now()) / 1000));
  showStatus('waiting', 'Trying again', `in ${left} s`);
  if (left > 1) {
    ticking = setTimeout(countDown, until - Date.now() - (left - 1) * 1000, until);
  }
}

// showStatus shows what is announced when it changes, and a detail that is not: nobody
// wants to hear every second of a countdown.
function showStatus(kind, text, detail = '') {
  clearTimeout(ticking);
  if (element('state').textContent !== text) {
    element('state').textContent = text;
  }
  element('detail').textContent = detail;
  element('status').className = kind;
  const retry = element('retry');
  const hide = kind === 'open' || kind === 'connecting';
  if (hide && document.activeElement === retry) {
    element('scroller').focus({ preventScroll: true }); // not nowhere
  }
  retry.classList.toggle('gone', hide); // and keeps its place
  element('send').disabled = kind !== 'open';
  element('billing').disabled = kind !== 'open';
}

let complaint = 0;

function complain(text) {
  clearTimeout(complaint);
  element('alert').textContent = text;
  complaint = setTimeout(complain, 8000, '');
}

// restore gives back what was not heard, above what is being written by now.
function restore(texts) {
  const field = element('text');
  field.value = [...texts, field.value].filter((text) => text.trim()).join('\n');
}

function enter() {
  sessionStorage.setItem('chat', JSON.stringify({ user, room }));
  element('entrance').hidden = true;
  element('chat').hidden = false;
  element('room-name').textContent = room;
  log.enter(room);
  element('text').focus();
  joined = before = late = false;
  pending.clear();
  connection = newConnection();
  connection.start();
}

function leave() {
  connection?.stop();
  connection = null;
  clearTimeout(ticking);
  sessionStorage.removeItem('chat');
  log.leave();
  element('chat').hidden = true;
  element('entrance').hidden = false;
  element('user').value = user;
  element('room').value = room || 'lobby';
  element('user').focus();
}

function turnAway(why) {
  leave();
  element('enter-error').textContent = `Sorry: ${why}.`;
}

element('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  element('enter-error').textContent = '';
  user = element('user').value.trim();
  room = element('room').value.trim();
  enter();
});

element('say').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = element('text');
  const text = field.value.trim();
  if (text && !joined) {
    complain('You are not connected. What you have written stays here until you are.');
  } else if (text && connection.send({ type: 'chat.say', id: ++said, room, text })) {
    pending.set(said, text);
    field.value = '';
    complain('');
  }
  field.focus();
});

element('text').addEventListener('keydown', (event) => {
  // 229: Safari says in no other way that Enter ends the composition of a character.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    element('say').requestSubmit();
  }
});

element('billing').addEventListener('click', () => connection.send({ type: 'billing.status' }));
element('leave').addEventListener('click', leave);
element('retry').addEventListener('click', () => connection.retry());

// The live page is for people on the server's machine.
element('live').hidden = !['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);

const known = JSON.parse(sessionStorage.getItem('chat') ?? 'null');
if (known) {
  ({ user, room } = known);
  enter();
} else {
  leave();
}
