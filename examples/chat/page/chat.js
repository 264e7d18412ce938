// The chat page. Names and texts of people are only ever put into the page as
// text nodes. The token is kept in memory and sent in the subprotocol alone.
import { Log } from './log.js';

const element = (id) => document.getElementById(id);
const log = new Log(element('scroller'), element('log'), element('nothing'), element('newer'));

let user = '';
let room = '';
let token = '';
let socket = null; // the one in use, open or opening
let inside = false; // a person has joined, and not left
let visit = 0; // changes with each joining and leaving
let joined = false; // the room, with the socket in use
let attempt = 0; // to connect, since the last connection that lasted
let timer = 0; // of the next attempt, or of its countdown
let pending = ''; // said, not yet heard

/* The connection */

class Refused extends Error {}

async function signIn(name) {
  const answer = await fetch('login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user: name }),
  });
  const body = await answer.json();
  if (answer.status >= 400 && answer.status < 500) {
    throw new Refused(body.error);
  }
  if (!answer.ok) {
    throw new Error('the server cannot sign anyone in');
  }
  return body.token;
}

async function connect() {
  clearTimeout(timer);
  showStatus('wait', 'Connecting…');
  const mine = visit;
  let known = token;
  try {
    known ||= await signIn(user);
  } catch (problem) {
    if (mine !== visit) {
      return;
    }
    if (problem instanceof Refused) {
      turnAway(problem.message);
    } else {
      retryLater();
    }
    return;
  }
  if (mine !== visit || socket) {
    return; // left, or connected, in the meantime
  }
  token = known;
  const url = new URL('ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const ws = new WebSocket(url, ['bearer', token]);
  socket = ws;
  let opened = 0;
  joined = false;
  ws.onopen = () => {
    opened = Date.now();
    send({ type: 'chat.join', room });
  };
  ws.onmessage = (event) => {
    if (ws === socket) {
      receive(JSON.parse(event.data));
    }
  };
  ws.onclose = (event) => {
    if (ws !== socket) {
      return; // left on purpose
    }
    socket = null;
    if (!opened) {
      token = ''; // perhaps refused: a server that restarted may not know it
    } else if (Date.now() - opened > 5000) {
      attempt = 0;
    }
    if (opened) {
      log.notice(farewell(event.code));
    }
    restorePending();
    retryLater();
  };
}

function farewell(code) {
  switch (code) {
    case 1001: return 'The server is going away. You will be back in a moment.';
    case 1009: return 'That was too long to be sent.';
    case 1013: return 'Your connection could not keep up and was closed.';
    default: return 'The connection was lost.';
  }
}

// retryLater waits longer each time, and never as long as everybody else.
function retryLater() {
  const most = Math.min(20_000, 500 * 2 ** attempt);
  attempt = Math.min(attempt + 1, 10);
  const at = Date.now() + most * (0.5 + Math.random() / 2);
  const tick = () => {
    const left = at - Date.now();
    if (left <= 0) {
      connect();
      return;
    }
    showStatus('closed', navigator.onLine ? `Not connected, trying again in ${Math.ceil(left / 1000)} s` : 'You are offline');
    timer = setTimeout(tick, Math.min(left, 1000));
  };
  clearTimeout(timer);
  tick();
}

function retryNow() {
  if (inside && !socket) {
    connect();
  }
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) {
    return false;
  }
  socket.send(JSON.stringify(message));
  return true;
}

function receive(message) {
  switch (message.type) {
    case 'chat.joined':
      joined = true;
      showStatus('open', `Connected as ${user}`);
      log.notice(`You are in ${message.room}.`);
      break;
    case 'chat.said':
      if (message.user === user && message.text === pending) {
        pending = '';
      }
      log.message(message.user, message.text, message.user === user);
      break;
    case 'billing.status':
      log.notice(`Billing: your plan is ${message.plan}, it is ${message.state}.`);
      break;
    case 'error':
      if (!joined) {
        turnAway(message.error);
        break;
      }
      restorePending();
      complain(`Sorry: ${message.error}.`);
      break;
  }
}

/* What a person sees and does */

function showStatus(kind, text) {
  const status = element('status');
  if (status.textContent !== text) {
    status.textContent = text;
  }
  status.className = kind;
  element('retry').hidden = kind !== 'closed';
  element('send').disabled = kind !== 'open';
  element('billing').disabled = kind !== 'open';
}

let complaint = 0;

function complain(text) {
  clearTimeout(complaint);
  element('alert').textContent = text;
  complaint = setTimeout(() => { element('alert').textContent = ''; }, 8000);
}

// restorePending gives back what was not sent, unless something else is being
// written by now.
function restorePending() {
  if (pending && !element('text').value.trim()) {
    element('text').value = pending;
  }
  pending = '';
}

function enter() {
  inside = true;
  visit++;
  attempt = 0;
  sessionStorage.setItem('chat', JSON.stringify({ user, room }));
  element('entrance').hidden = true;
  element('chat').hidden = false;
  element('room-name').textContent = room;
  log.enter(room);
  element('text').focus();
  connect();
}

function leave() {
  inside = false;
  visit++;
  token = '';
  clearTimeout(timer);
  sessionStorage.removeItem('chat');
  const ws = socket;
  socket = null;
  ws?.close(1000);
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
  if (text && send({ type: 'chat.say', room, text })) {
    pending = text;
    field.value = '';
    element('alert').textContent = '';
  }
  field.focus();
});

element('text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    element('say').requestSubmit();
  }
});

element('billing').addEventListener('click', () => send({ type: 'billing.status' }));
element('leave').addEventListener('click', leave);
element('retry').addEventListener('click', retryNow);
window.addEventListener('online', retryNow);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    retryNow();
  }
});

// The live page is for people on the server's machine.
element('live').hidden = !['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);

const known = JSON.parse(sessionStorage.getItem('chat') ?? 'null');
if (known) {
  ({ user, room } = known);
  enter();
} else {
  leave();
}
