// A WebSocket that comes back: what apmws.Dialer is in Go, for browsers. It depends
// on nothing, and is made to be copied.
//
//   const connection = new Connection('ws', {
//     token: async (signal) => ({ token: '…', lifetime: 3600 }),
//     protocols: (token) => ['bearer', token],
//     connect: () => connection.send({ type: 'subscribe' }),
//     renew: (token) => connection.send({ type: 'auth.renew', token }),
//     probe: () => connection.send({ type: 'ping' }),
//     message: (message) => show(message),
//     state: ({ phase, until, why }) => tell(phase),
//   });
//   connection.start();

// GiveUp is thrown by token when no further attempt is of any use.
export class GiveUp extends Error {}

// Close codes that mean something here: those of RFC 6455, section 7.4.1, and of
// applications, after the statuses of HTTP.
const policyViolation = 1008;
const unauthenticated = 4401; // the token has expired
const forbidden = 4403;
const noAnswer = 4408; // from here, to a server that has fallen silent

// All in milliseconds.
const defaults = {
  firstDelay: 500, // the bound of the first wait, which doubles from attempt to attempt
  maxDelay: 20_000, // up to this; a connection that has lasted for longer begins anew
  open: 10_000, // for the token, and for the handshake
  idle: 25_000, // without a message, before the server is asked for one
  answer: 10_000, // for the answer to that
};

const longest = 2 ** 31 - 1; // that a timer waits

// delay returns how long to wait after so many failures in a row: uniformly from 0 to
// the bound (full jitter), so that pages which were cut off together do not come back
// together.
export function delay(failures, first, most) {
  return Math.random() * Math.min(most, first * 2 ** failures);
}

// traceparent begins a trace (W3C Trace Context).
function traceparent() {
  const hex = (size) => Array.from(crypto.getRandomValues(new Uint8Array(size)), (b) => b.toString(16).padStart(2, '0')).join('');
  return `00-${hex(16)}-${hex(8)}-01`;
}

// Connection keeps a connection open from start to stop. Its options are
//
//   token(signal)     resolves to { token, lifetime }, the latter in seconds. It is asked
//                     before the first attempt, after one that was refused, and when 80
//                     to 90 % of the lifetime have passed.
//   protocols(token)  the subprotocols to offer.
//   connect()         the connection is open: the place to subscribe again.
//   renew(token)      tells the server a new token, on a connection that is open.
//   probe()           asks for something that the server answers at once.
//   message(message)  what the server has sent, parsed.
//   state(state)      what is going on: { phase, until, why }.
//
// and the times above. The phases are 'connecting', 'open', 'waiting' until a time (as
// Date.now counts), 'offline' and 'given up'. Why says what has ended the last
// connection or attempt: { code, reason } as the server gave them, { silent: true } for
// one that has stopped answering, { left: true } for a page that was left, or { error }
// of token; opened is whether it was open.
export class Connection {
  #url;
  #options;
  #phase = ''; // empty: not started, or stopped
  #life = null; // aborted by stop
  #attempt = null; // aborted with each attempt, or its connection
  #socket = null;
  #timer = 0; // of the one thing that is waited for
  #opened = 0; // when; 0: it is not
  #failures = 0; // since the last connection that lasted
  #renewed = false; // the token was refused once since then
  #token = '';
  #renewal = 0; // the timer of it
  #heard = 0; // when the server last sent something
  #asked = 0; // times that it was asked to, in vain so far

  constructor(url, options) {
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol.replace('http', 'ws');
    this.#options = { ...defaults, ...options };
  }

  start() {
    this.#life = new AbortController();
    const { signal } = this.#life;
    window.addEventListener('online', () => this.#online(), { signal });
    window.addEventListener('offline', () => this.#offline(), { signal });
    window.addEventListener('pagehide', ({ persisted }) => this.#leave(persisted), { signal });
    window.addEventListener('pageshow', () => this.#wake(), { signal });
    document.addEventListener('visibilitychange', () => this.#wake(), { signal });
    this.#connect();
  }

  stop() {
    this.#life.abort();
    this.#phase = '';
    this.#forget();
    this.#drop(1000);
  }

  // send reports whether there is a connection to send by. Each message begins a
  // trace, by which the server's part of it is found.
  send(message) {
    if (!this.#opened) {
      return false;
    }
    this.#socket.send(JSON.stringify({ traceparent: traceparent(), ...message }));
    return true;
  }

  // retry tries at once, also where there was no hope.
  retry() {
    if (this.#phase === 'given up') {
      this.#renewed = false;
      this.#forget();
    }
    if (['waiting', 'offline', 'given up'].includes(this.#phase)) {
      this.#connect();
    }
  }

  giveUp(why) {
    this.#forget();
    this.#drop(1000);
    this.#tell('given up', { why });
  }

  #tell(phase, more = {}) {
    this.#phase = phase;
    this.#options.state({ phase, ...more });
  }

  async #connect() {
    this.#drop();
    this.#attempt = new AbortController();
    const { signal } = this.#attempt;
    this.#tell('connecting');
    let socket;
    try {
      if (!this.#token) {
        const fresh = await this.#freshToken(signal);
        if (signal.aborted) {
          return;
        }
        this.#accept(fresh);
      }
      socket = new WebSocket(this.#url, this.#options.protocols(this.#token)); // throws for what is no subprotocol
    } catch (error) {
      if (!signal.aborted) {
        this.#ended({ error });
      }
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#ended({ silent: true }), this.#options.open);
    socket.addEventListener('open', () => this.#open(), { signal });
    socket.addEventListener('message', (event) => this.#receive(event.data), { signal });
    socket.addEventListener('close', ({ code, reason }) => this.#ended({ code, reason }), { signal });
  }

  #freshToken(signal) {
    return this.#options.token(AbortSignal.any([signal, AbortSignal.timeout(this.#options.open)]));
  }

  #open() {
    this.#opened = this.#heard = Date.now();
    this.#asked = 0;
    this.#watch(this.#options.idle);
    this.#tell('open');
    this.#options.connect();
  }

  #receive(data) {
    this.#heard = Date.now();
    this.#asked = 0;
    this.#options.message(JSON.parse(data));
  }

  // ended decides what follows on the end of a connection, or of an attempt.
  #ended(why) {
    const opened = this.#opened;
    if (opened && Date.now() - opened > this.#options.maxDelay) {
      this.#failures = 0;
      this.#renewed = false;
    }
    this.#drop(why.silent && opened ? noAnswer : undefined);
    why.opened = opened > 0;

    let hopeless = why.error instanceof GiveUp || why.code === policyViolation || why.code === forbidden;
    if (why.code === unauthenticated) {
      hopeless ||= this.#renewed;
      this.#renewed = true;
      this.#forget();
    } else if (!opened) {
      // A browser does not tell why a handshake was refused. If it was for the token
      // the next one mends it; and who asks for it learns whether the server is there.
      this.#forget();
    }
    if (hopeless) {
      this.giveUp(why);
    } else if (navigator.onLine) {
      const wait = delay(this.#failures, this.#options.firstDelay, this.#options.maxDelay);
      this.#failures++;
      this.#timer = setTimeout(() => this.#connect(), wait);
      this.#tell('waiting', { until: Date.now() + wait, why });
    } else {
      this.#tell('offline', { why });
    }
  }

  // drop leaves nothing of an attempt or its connection.
  #drop(code) {
    this.#attempt?.abort();
    clearTimeout(this.#timer);
    this.#socket?.close(code);
    this.#socket = null;
    this.#opened = 0;
  }

  /* The token */

  #accept({ token, lifetime }) {
    this.#token = token;
    this.#renewIn(lifetime * 1000);
  }

  #forget() {
    this.#token = '';
    clearTimeout(this.#renewal);
  }

  #renewIn(left) {
    const wait = left * (0.8 + Math.random() / 10);
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => this.#renew(left - wait), Math.min(wait, longest));
  }

  // renew goes on trying for as long as the old token is good. Then the server ends the
  // connection, and it is made anew, with another token.
  async #renew(left) {
    const token = this.#token;
    const { signal } = this.#life;
    try {
      const fresh = await this.#freshToken(signal);
      if (!signal.aborted && token === this.#token) {
        this.#accept(fresh);
        if (this.#opened) {
          this.#options.renew(fresh.token);
        }
      }
    } catch {
      if (signal.aborted || token !== this.#token) {
        return;
      }
      if (left > 1000) {
        this.#renewIn(left);
      } else {
        this.#forget();
      }
    }
  }

  /* Is the server there? A page sees no pings, and a network that is gone says nothing. */

  #watch(wait) {
    const due = Date.now() + wait;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const quiet = this.#options.idle - Math.abs(Date.now() - this.#heard); // a clock may be set back
      if (!this.#asked && quiet > 0) {
        this.#watch(quiet);
      } else if (!this.#asked || (this.#asked === 1 && Date.now() - due > this.#options.answer)) {
        this.#ask(); // where the timer is late the machine has slept: once more
      } else {
        this.#ended({ silent: true });
      }
    }, wait);
  }

  #ask() {
    this.#asked++;
    this.#options.probe();
    this.#watch(this.#options.answer);
  }

  /* What the browser tells */

  #wake() {
    if (document.visibilityState !== 'visible') {
      return;
    }
    if (this.#phase === 'open') {
      if (!this.#asked) {
        this.#ask();
      }
    } else if (this.#phase === 'waiting') {
      this.#connect();
    }
  }

  // A page that the browser keeps, for whoever comes back to it, would stay connected
  // meanwhile. The connection of any other one the browser closes itself.
  #leave(kept) {
    if (kept && this.#phase !== 'given up') {
      const opened = this.#opened > 0;
      this.#drop(1000);
      this.#tell('waiting', { until: Date.now(), why: { left: true, opened } }); // to be shown
    }
  }

  #online() {
    if (this.#phase === 'open') {
      this.#wake(); // it was made although the browser said that it could not be
    } else if (this.#phase !== 'given up') {
      this.#failures = 0;
      this.#connect();
    }
  }

  #offline() {
    if (this.#phase !== 'given up') {
      const opened = this.#opened > 0;
      this.#drop();
      this.#tell('offline', { why: { opened } });
    }
  }
}
