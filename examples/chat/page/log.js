// The list of what was said, newest at the bottom.

const most = 500; // entries kept
const together = 3 * 60_000; // ms within which messages of one person are a group

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export class Log {
  #scroller;
  #list;
  #nothing;
  #newer;
  #last = { user: null, at: 0 };
  #title = '';
  #unread = 0;
  #following = true; // the newest: nobody has scrolled away from it
  #top = 0; // that was last scrolled to

  constructor(scroller, list, nothing, newer) {
    this.#scroller = scroller;
    this.#list = list;
    this.#nothing = nothing;
    this.#newer = newer;
    newer.addEventListener('click', () => {
      scroller.focus({ preventScroll: true }); // the button goes, and would take it along
      this.#toBottom();
    });
    scroller.addEventListener('scroll', () => {
      if (this.#atBottom()) {
        this.#following = true;
        newer.hidden = true;
      } else if (scroller.scrollTop < this.#top) { // and not only resized since
        this.#following = false;
      }
      this.#top = scroller.scrollTop;
    });
    // As when a phone shows its keyboard.
    new ResizeObserver(() => {
      if (this.#following) {
        this.#toBottom();
      }
    }).observe(scroller);
    document.addEventListener('visibilitychange', () => this.#count(0));
  }

  enter(room) {
    this.#list.replaceChildren();
    this.#nothing.hidden = true;
    this.#following = true;
    this.#last = { user: null, at: 0 };
    this.#title = `# ${room}`;
    this.#count(0);
  }

  leave() {
    this.#title = 'Chat';
    this.#count(0);
  }

  // invite says that nobody has said anything, until somebody does.
  invite() {
    this.#nothing.hidden = this.#list.querySelector('.message') !== null;
  }

  message(user, text, own) {
    const now = new Date();
    const first = user !== this.#last.user || now - this.#last.at > together;
    this.#last = { user, at: now };

    const author = make('span', `author hue${hue(user)}`, own ? 'You' : user);
    const time = make('time', '', clock.format(now));
    time.dateTime = now.toISOString();
    const meta = make('div', 'meta');
    meta.append(author, time);
    const item = make('li', `message${own ? ' own' : ''}${first ? ' first' : ''}`);
    item.append(meta, make('div', 'text', text));
    item.title = clock.format(now);
    this.#nothing.hidden = true;
    this.#append(item, own);
    if (!own && document.visibilityState === 'hidden') {
      this.#count(this.#unread + 1);
    }
  }

  notice(text) {
    this.#last = { user: null, at: 0 };
    this.#append(make('li', 'notice', text), false);
  }

  // A person who reads further up is not taken away from there.
  #append(item, follow) {
    const stay = !follow && !this.#following;
    this.#list.append(item);
    while (this.#list.childElementCount > most) {
      this.#list.firstElementChild.remove();
    }
    if (stay) {
      this.#newer.hidden = false;
    } else {
      this.#toBottom();
    }
  }

  #atBottom() {
    const s = this.#scroller;
    return s.scrollHeight - s.scrollTop - s.clientHeight < 60;
  }

  #toBottom() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
    this.#following = true;
    this.#newer.hidden = true;
  }

  #count(unread) {
    this.#unread = unread;
    document.title = unread ? `(${unread}) ${this.#title}` : this.#title;
  }
}

function make(tag, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

// hue gives a name always the same colour.
function hue(name) {
  let sum = 0;
  for (const character of name) {
    sum = (sum * 31 + character.codePointAt(0)) % 1_000_003;
  }
  return sum % 6;
}
