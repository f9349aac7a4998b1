// Shows the event stream of the process. All words come from the process: the script
// sorts rows, counts ages, and turns the page grey when no news arrive. Text from the
// process reaches the document as `textContent` only.

const EVENTS = document.body.dataset.events;
// The process sends a tick every 2 seconds.
const OLD_AFTER = 6_000, GIVE_UP_AFTER = 15_000, RETRY = [1_000, 8_000];
const CHUNK = 200, HISTORY = 256;
// Rows of these states come first, in this order.
const ORDER = ['dead', 'stale', 'failing', 'starting', 'degraded', 'ready'];
const ICONS = { green: '#0b7038', amber: '#b97a00', red: '#b3261e', blue: '#1d5bb8', grey: '#8a93a0' };

const $ = (id) => document.getElementById(id);
const rows = new Map(), scopes = new Map();
let causes = [], last = {}, lastId = '', newsAt = null, newsTime = 0, skew = 0;
let drainEnd = null, old = null, oldTimer = 0;

// Control characters and those that change the direction of writing become blanks.
const clean = (text) => String(text).replace(
  /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu, ' ');
const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = clean(text);
  if (name) made.className = name;
  return made;
};
// A state's word is also its class, if it is a known one.
const badge = (state) => element('span', state, ORDER.includes(state) ? `s ${state}` : 's');
const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const clock = (time) => new Date(time).toISOString().slice(11, 19);
const age = (ms) => {
  const s = Math.floor(Math.max(0, ms) / 1_000);
  return s < 1 ? '0s' : s < 60 ? `${s}s` : s < 3_600 ? `${Math.floor(s / 60)}m`
    : s < 86_400 ? `${Math.floor(s / 3_600)}h` : `${Math.floor(s / 86_400)}d`;
};
// Builds a part of the page anew only if its data have changed, so that a selection of text
// stays.
const built = new Map();
function build(node, data, make) {
  const text = JSON.stringify(data);
  if (built.get(node) === text) return;
  built.set(node, text);
  node.replaceChildren(...data.map(make));
}
const list = (node, pairs) => build(node, pairs.filter(([, value]) => value != null), ([term, value]) => {
  const pair = element('div');
  pair.append(element('dt', term), element('dd', value));
  return pair;
});
const counts = (by) => Object.entries(by ?? {}).map(([why, count]) => `${count} ${why}`).join(', ');

// === what the events say ===

function apply(document, isWhole) {
  const now = performance.now();
  if (isWhole) { table.replaceChildren(); rows.clear(); scopes.clear(); $('history').replaceChildren(); }
  for (const name of document.removed ?? []) { rows.get(name)?.tr?.remove(); rows.delete(name); }
  for (const it of document.subsystems ?? []) {
    const row = rows.get(it.name) ?? {};
    rows.set(it.name, Object.assign(row, {
      it, isNew: true, since: it.for_ms === undefined ? null : now - it.for_ms,
    }));
  }
  for (const it of document.scopes ?? []) scopes.set(it.name, it);
  causes = document.because_of ?? [];
  last = document;
  count(document);
  showVerdict();
  showCauses(now);
  showScopes();
  addToHistory(document.history ?? []);
  place();
}

// What changes without a version.
function count({ traffic, drain }) {
  const now = performance.now();
  if (traffic) last.traffic = traffic;
  if (drain) last.drain = drain;
  drainEnd = last.drain?.left_ms === undefined ? null : now + last.drain.left_ms;
  const refused = last.traffic ?? {};
  list($('traffic'), [
    ['In flight', refused.in_flight ?? 'not counted'],
    ['Refused', counts(refused.refused) || 'none'],
    ['A dry run would have refused', counts(refused.dry_run_refused) || null],
    ['Late in the drain', refused.late_arrivals],
    ['Drift', drift(refused.drift)],
  ]);
  list($('settings'), last.drain ? [
    ['Drain delay', seconds(last.drain.delay_ms)],
    ['Extended up to', seconds(last.drain.longest_delay_ms)],
    ['Closing cap', seconds(last.drain.cap_ms)],
  ] : [['Drain', 'no shutdown is planned']]);
  showDrain(now);
}

const seconds = (ms) => `${ms / 1_000} s`;
const drift = (it) => it && `${it.failed} of ${it.admitted} failed while ready, in ${age(it.window_ms)}`;

function showVerdict() {
  const { summary = last.status ?? '', verdicts = {}, phase, condition, paused, version } = last;
  // "not ready: storage failing (disk full)": the words before the colon are large.
  const [words, ...why] = clean(summary).split(': ');
  setText($('verdict'), old === null ? words : `was ${words}`);
  setText($('why'), why.join(': '));
  Object.assign(document.body.dataset, {
    ready: verdicts.readiness, live: verdicts.liveness, phase, condition, paused,
  });
  list($('facts'), [
    ['Phase', phase], ['Condition', condition],
    ['Started', verdicts.startup ? 'yes' : 'no'], ['Live', verdicts.liveness ? 'yes' : 'no'],
    ['Paused', paused ? (last.pause_reason || 'yes') : null], ['Version', version],
  ]);
  document.title = `${old === null ? '' : 'No news: was '}${words} – ${location.host}`;
  const tone = old !== null ? 'grey' : verdicts.liveness === false ? 'red'
    : /^(draining|closing|closed)$/.test(phase) || paused ? 'blue'
    : verdicts.readiness ? (condition === 'degraded' ? 'amber' : 'green')
    : condition === 'starting' ? 'blue' : 'red';
  document.querySelector('link[rel=icon]').href = `data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${ICONS[tone]}"/></svg>`)}`;
}

function showCauses(now) {
  const shown = causes.map((name) => rows.get(name)).filter(Boolean).slice(0, 50);
  $('causes').replaceChildren(...shown.map((row) => {
    const item = element('li'), text = element('span');
    text.append(element('b', row.it.name), element('small', row.it.reason ?? ''));
    row.causeAge = element('span', row.since === null ? '' : age(now - row.since));
    item.append(badge(row.it.state), text, row.causeAge);
    return item;
  }));
  if (causes.length > shown.length) {
    $('causes').append(element('li', `and ${causes.length - shown.length} more, first in the table below`));
  }
  $('causes').parentElement.hidden = shown.length === 0;
}

function showScopes() {
  build($('scopes'), [...scopes.values()], (it) => {
    const tr = element('tr'), name = element('th', it.name), state = element('td');
    name.scope = 'row';
    state.append(badge(it.condition));
    tr.append(state, name, element('td', (it.because_of ?? []).join(', ')), element('td', counts(it.refused)));
    return tr;
  });
  $('scopes').closest('section').hidden = scopes.size === 0;
}

// The newest transition is the first row.
function addToHistory(transitions) {
  const node = $('history');
  node.prepend(...transitions.slice(-HISTORY).reverse().map((it) => {
    const tr = element('tr'), [from, to] = [element('td'), element('td')];
    if (it.from) from.append(badge(it.from));
    to.append(it.to ? badge(it.to) : 'retired');
    const reason = element('td', it.reason ?? '');
    const notes = [it.lasted_ms !== undefined && `after ${age(it.lasted_ms)}`, it.refused > 0 && `${it.refused} refused`];
    reason.append(element('small', notes.filter(Boolean).join(', ')));
    const at = it.at_unix_ms === undefined ? '' : clock(it.at_unix_ms);
    tr.append(element('td', at), element('td', it.name ?? it.kind), from, to, reason);
    return tr;
  }));
  while (node.rows.length > HISTORY) node.deleteRow(-1);
  node.closest('section').hidden = node.rows.length === 0;
}

function showDrain(now) {
  $('drain').hidden = drainEnd === null;
  if (drainEnd === null) return;
  const left = Math.max(0, drainEnd - now);
  setText($('left'), `${last.phase}: ${Math.ceil(left / 1_000)} s left`);
  $('bar').max = last.phase === 'closing' ? last.drain.cap_ms : last.drain.delay_ms;
  $('bar').value = left;
}

// === the table of subsystems ===

const table = $('rows');
let placing = 0;

function fill(row) {
  const { it } = row, tr = row.tr ?? element('tr');
  const state = element('td'), name = element('th', it.name), reason = element('td', it.reason ?? '');
  name.scope = 'row';
  state.append(badge(it.state));
  const { damped } = it;
  if (damped) {
    const when = damped.needed ? `${damped.count}/${damped.needed}` : `in ${age(damped.counts_in_ms)}`;
    reason.append(element('small', `reported ${damped.state} ${when} ${damped.reason ?? ''}`));
  }
  const notes = Object.entries(it.attributes ?? {}).map(([key, value]) => `${key}=${value}`);
  if (it.ttl_ms) notes.push(`ttl ${seconds(it.ttl_ms)}`);
  if (it.claim === 'unclaimed' || it.claim === 'dropped') notes.push(it.claim);
  if (notes.length) reason.append(element('small', notes.join(' ')));
  if (it.members) reason.append(membersOf(it));
  const words = [it.role, it.vital && 'vital', it.pending && 'pending', it.simulated && 'simulated'];
  row.age = element('td', row.since === null ? '' : age(performance.now() - row.since));
  tr.replaceChildren(state, name, element('td', words.filter(Boolean).join(', ')), reason, row.age);
  tr.hidden = !matches(it.name);
  Object.assign(row, { tr, isNew: false });
}

// How many members of a group are in each state, each with a link to them.
function membersOf({ name, members: { states, total } }) {
  const node = element('small', total ? 'members: ' : 'members: none');
  Object.entries(states).forEach(([state, count], index) => {
    const link = element('a', `${count} ${state}`);
    link.href = `${EVENTS.replace(/\/events$/, '')}/${name}?state=${state}`;
    node.append(index ? ', ' : '', link);
  });
  return node;
}

// Puts the rows in their order: first those that matter, then the rest in chunks, so that
// thousands of rows do not block the page.
function place() {
  // Unknown states, at -1, follow the causes.
  const rank = new Map(causes.map((name, index) => [name, index - causes.length - 1]));
  const rankOf = ({ it }) => rank.get(it.name) ?? ORDER.indexOf(it.state);
  const sorted = [...rows.values()].sort((a, b) => rankOf(a) - rankOf(b));
  const turn = ++placing;
  let index = 0, at = table.firstChild;
  const next = () => {
    if (turn !== placing) return;
    const end = Math.min(index + CHUNK, sorted.length);
    for (; index < end; index++) {
      const row = sorted[index];
      if (row.isNew) fill(row);
      // A row that belongs further down makes room.
      if (at && at !== row.tr && at.nextSibling === row.tr) { const late = at; at = row.tr; late.remove(); }
      if (at === row.tr) at = at.nextSibling; else table.insertBefore(row.tr, at);
    }
    if (index < sorted.length) setTimeout(next);
    showCount();
  };
  next();
}

const wanted = () => $('filter').value.trim().toLowerCase();
const matches = (name) => name.toLowerCase().includes(wanted());
function showCount() {
  let shown = rows.size;
  if (wanted()) { shown = 0; for (const name of rows.keys()) if (matches(name)) shown++; }
  setText($('count'), shown === rows.size ? `${shown}` : `${shown} of ${rows.size}`);
}
$('filter').addEventListener('input', () => {
  for (const [name, { tr }] of rows) if (tr) tr.hidden = !matches(name);
  showCount();
});

// === time ===

function showTime() {
  const now = performance.now();
  // A sleeping tab runs its timers late.
  if (newsAt !== null && now - newsAt >= OLD_AFTER) becomeOld('no tick arrives');
  // Of a process that is silent, no age is known.
  if (old !== null) return;
  for (const row of rows.values()) {
    if (row.since === null || !row.tr || row.tr.hidden) continue;
    const text = age(now - row.since);
    setText(row.age, text);
    if (row.causeAge?.isConnected) setText(row.causeAge, text);
  }
  if (drainEnd !== null) showDrain(now);
}

function becomeNew(time) {
  const wasOld = old !== null || newsAt === null;
  [newsAt, old] = [performance.now(), null];
  clearTimeout(oldTimer);
  oldTimer = setTimeout(becomeOld, OLD_AFTER, 'no tick arrives');
  // Times are those of the process, whose clock may differ from that of the browser.
  if (time) skew = time - Date.now();
  newsTime = Date.now() + skew;
  setText($('news'), `live, ${clock(newsTime)} UTC`);
  if (!wasOld) return;
  document.body.classList.remove('old');
  document.body.classList.add('live');
  setText($('alarm'), '');
  showVerdict();
}

function becomeOld(why) {
  if (old !== null) return;
  old = why;
  document.body.classList.remove('live');
  document.body.classList.add('old');
  const since = newsTime ? `since ${clock(newsTime)} UTC` : 'yet';
  setText($('news'), `no news ${since}`);
  setText($('alarm'), `No news ${since}: ${clean(why)}. The last known state is shown.`);
  if (last.status) showVerdict(); else document.title = `No news – ${location.host}`;
}

// === the stream ===

let retry = RETRY[0], timer = 0, attempt = null;

async function connect() {
  clearTimeout(timer);
  attempt?.abort();
  const mine = attempt = new AbortController();
  let watchdog = 0;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => mine.abort(), GIVE_UP_AFTER);
  };
  let why = 'the process ended the stream';
  try {
    alive();
    const headers = { accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) };
    const response = await fetch(EVENTS, { headers, cache: 'no-store', signal: mine.signal });
    if (!response.ok || !/^text\/event-stream/.test(response.headers.get('content-type'))) {
      throw new Error(`the process answers ${response.status}`);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ''; ;) {
      const { done, value } = await reader.read();
      if (done) break;
      alive();
      const events = (text + value).split('\n\n');
      text = events.pop();
      events.forEach(handle);
    }
  } catch (error) {
    why = error instanceof TypeError || error.name === 'AbortError' ? 'the process does not answer' : error.message;
  }
  clearTimeout(watchdog);
  // A later attempt has taken over.
  if (mine !== attempt) return;
  becomeOld(why);
  timer = setTimeout(connect, retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 2, RETRY[1]);
}

function handle(text) {
  const fields = {};
  for (const line of text.split('\n')) {
    const [name, ...rest] = line.split(': ');
    fields[name] = rest.join(': ');
  }
  if (fields.data === undefined) return;
  const data = JSON.parse(fields.data);
  if (fields.event === 'state') apply(data, true);
  else if (fields.event === 'change') apply(data, false);
  else if (fields.event === 'tick') count(data);
  if (fields.id) lastId = fields.id;
  retry = RETRY[0];
  becomeNew(data.time);
}

// A page from the browser's cache shows the state of the time when it was left.
addEventListener('pageshow', (event) => { if (event.persisted) { becomeOld('the page was left'); connect(); } });
document.addEventListener('visibilitychange', () => { if (!document.hidden) { showTime(); if (old !== null) connect(); } });
addEventListener('online', connect);
setInterval(showTime, 1_000);
connect();
