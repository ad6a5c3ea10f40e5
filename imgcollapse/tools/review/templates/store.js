"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const MARK = { keep: "✓ kept", reject: "✕ rejected", nonsense: "∅ nonsense" };

// What is said -----------------------------------------------------------------------------------

const size = data.counted.length;
const picks = new Map(Object.entries(data.picks.picks).map(([row, pick]) => [+row, pick]));
let finished = data.picks.finished, finishedAt = data.picks.finished_at;
const random = new Set(data.random);
const undoing = [];

const verdictOf = row => picks.get(row)?.verdict ?? null;
const className = label => (label < 0 ? null : data.classes[label]);
const askedOf = row => (data.asked ? className(data.asked[row]) : null);
const namedOf = row => className(data.counted[row]);
const groupOf = new Map(data.groups.flatMap(group => group.rows.map(row => [row, group.name])));
const shownAs = row => askedOf(row) ?? namedOf(row);

// True if anything is other than it was shown.
function merge(theirs) {
  let changed = false;
  for (const [row, pick] of Object.entries(theirs.picks)) {
    const mine = picks.get(+row);
    if (mine && mine.at > pick.at) continue;
    picks.set(+row, pick);
    if (mine?.verdict === pick.verdict && mine?.class === pick.class) continue;
    redraw(+row);
    changed = true;
  }
  if (theirs.finished_at < finishedAt) return changed;
  changed ||= finished !== theirs.finished;
  ({ finished, finished_at: finishedAt } = theirs);
  return changed;
}

function whole() {
  const { format, lineage, generation, samples } = data.picks;
  const sorted = [...picks].sort(([a], [b]) => a - b);
  return { format, lineage, generation, samples, finished, finished_at: finishedAt, picks: Object.fromEntries(sorted) };
}

// Saving: to the server, or in the browser -------------------------------------------------------

const outbox = new Map();
let outboxFinished = null, sending = false, heard = 0;

function post(keepalive) {
  const body = { picks: Object.fromEntries(outbox), since: heard };
  if (outboxFinished !== null) body.finished = outboxFinished;
  return fetch("picks", { method: "POST", body: JSON.stringify(body), keepalive });
}

async function send() {
  if (sending) return;
  sending = true;
  const sent = new Map(outbox), sentFinished = outboxFinished;
  try {
    const answer = await post(false);
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const theirs = await answer.json();
    for (const [row, pick] of sent) if (outbox.get(row) === pick) outbox.delete(row);
    if (outboxFinished === sentFinished) outboxFinished = null;
    for (const row of outbox.keys()) delete theirs.picks[row]; // said again in the meantime
    for (const pick of Object.values(theirs.picks)) heard = Math.max(heard, pick.at);
    if (merge(theirs)) totals(), stage();
    warn("");
  } catch (error) {
    warn(`Not saved yet: ${error.message}. Is imgcollapse review still running? Trying again.`);
    setTimeout(save, 2000);
  }
  sending = false;
  if (outbox.size || outboxFinished !== null) if (!$("alert").textContent) save();
}

const KEY = `imgcollapse picks ${data.picks.samples} ${data.picks.lineage}`;

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? { picks: {}, finished_at: -1 };
  } catch {
    return { picks: {}, finished_at: -1 };
  }
}

function keepHere() {
  merge(stored()); // another tab may have written
  try {
    localStorage.setItem(KEY, JSON.stringify(whole()));
    warn("");
  } catch (error) {
    warn(`Not kept in this browser (${error.message}): download picks.json before you leave.`);
  }
}

const save = data.served ? send : keepHere;

function warn(text) {
  $("alert").textContent = text;
  $("alert").hidden = !text;
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(whole(), null, 2) + "\n"], { type: "application/json" }));
  link.download = "picks.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
