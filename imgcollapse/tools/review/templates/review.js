"use strict";

const PAGE = 600; // cards that are made at once: thousands would make the first key wait
const narrow = matchMedia("(max-width: 820px)");

// Pictures ---------------------------------------------------------------------------------------

function draw(element, row, room) {
  const zoom = room >= data.width ? Math.floor(room / data.width) : room / data.width;
  const place = row % data.per_sheet, sheet = Math.floor(row / data.per_sheet);
  const [x, y] = [place % data.columns, Math.floor(place / data.columns)];
  const [width, height] = [data.width * zoom, data.height * zoom];
  element.classList.toggle("sharp", zoom >= 1);
  Object.assign(element.style, {
    width: `${width}px`, height: `${height}px`,
    backgroundImage: `url("${data.sheets[sheet]}")`,
    backgroundSize: `${width * data.columns}px auto`,
    backgroundPosition: `${-x * width}px ${-y * height}px`,
  });
}

// The cards --------------------------------------------------------------------------------------

const cards = new Map();
let list = [], shown = 0, current = -1;

function selected() {
  const [kind, name] = JSON.parse($("filter").value);
  if (kind === "all") return data.groups;
  if (kind === "group") return data.groups.filter(group => group.name === name).map(withRandom);
  const rows = data.groups.flatMap(group => group.rows).filter(row => verdictOf(row) === name);
  return [{ name: $("filter").selectedOptions[0].dataset.name, rows }];
}

// A class shows all that the oracle names so, those of the random sample included.
function withRandom(group) {
  const label = data.classes.indexOf(group.name);
  if (group === data.groups[0]) return group;
  const drawn = data.groups[0].rows.filter(row => data.counted[row] === label);
  return { name: group.name, rows: [...group.rows, ...drawn].sort((a, b) => data.doubt[b] - data.doubt[a]) };
}

function build() {
  const groups = selected();
  list = groups.flatMap(group => group.rows.map(row => ({ row, group })));
  cards.clear();
  shown = 0;
  $("groups").replaceChildren();
  if (!list.length) $("groups").append(make("p", { className: "empty", textContent: "Nothing here." }));
  more();
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function more() {
  $("groups").querySelector(".more")?.remove();
  let section = null;
  for (const { row, group } of list.slice(shown, shown + PAGE)) {
    const last = $("groups").lastElementChild;
    if (section === null && last?.group === group) section = last;
    if (section?.group !== group) {
      const heading = make("h2", {}, make("span", { textContent: group.name }), make("small"));
      section = make("section", { className: "group", group }, heading, make("div", { className: "cards" }));
      $("groups").append(section);
    }
    section.lastElementChild.append(card(row));
  }
  shown = Math.min(shown + PAGE, list.length);
  if (shown < list.length) {
    const text = `Show more (${(list.length - shown).toLocaleString("en")} left)`;
    $("groups").append(make("button", { type: "button", className: "more", textContent: text, onclick: more }));
  }
  totals();
}

function card(row) {
  const picture = make("i"), words = make("b"), sure = make("small");
  const element = make("button", { type: "button", className: "card", tabIndex: -1 }, picture, make("span", {}, words, sure));
  element.dataset.row = row;
  draw(picture, row, tile());
  cards.set(row, { element, words, sure });
  redraw(row);
  return element;
}

const tile = () => (narrow.matches ? 84 : 112);

function redraw(row) {
  const made = cards.get(row);
  if (!made) return;
  const pick = picks.get(row), verdict = pick?.verdict ?? null;
  made.element.className = `card ${verdict ?? ""}`;
  made.words.textContent = verdict === "class" ? `→ ${pick.class}` : (MARK[verdict] ?? shownAs(row) ?? "?");
  made.sure.textContent = verdict || data.counted[row] < 0 ? "" : percent(data.sure[row]);
  const said = verdict === "class" ? `is really ${pick.class}` : (MARK[verdict]?.slice(2) ?? "no verdict");
  made.element.setAttribute("aria-label", `Row ${row}, ${describe(row)}, ${said}`);
}

const percent = share => `${Math.floor(share * 100)}%`;

function describe(row) {
  const named = namedOf(row), asked = askedOf(row);
  const oracle = named === null ? "like no real image to the oracle" : `the oracle says ${named}, ${percent(data.sure[row])} sure`;
  return asked === null ? oracle : `label ${asked}, ${oracle}`;
}

// The one in question ----------------------------------------------------------------------------

function go(index, focus = true) {
  if (!list.length) return stage();
  while (index >= shown && shown < list.length) more();
  const old = cards.get(list[current]?.row)?.element;
  if (old) old.tabIndex = -1, old.removeAttribute("aria-current");
  current = Math.max(0, Math.min(index, list.length - 1));
  const { element } = cards.get(list[current].row);
  element.tabIndex = 0;
  element.setAttribute("aria-current", "true");
  if (focus) element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
  stage();
}

function stage() {
  const there = list[current];
  $("stage").hidden = !there;
  if (!there) return;
  const { row } = there, pick = picks.get(row), named = namedOf(row), asked = askedOf(row);
  draw($("large"), row, narrow.matches ? 112 : 320);
  $("large").setAttribute("aria-label", `Row ${row}, enlarged`);
  $("named").textContent = shownAs(row) ?? "no name";
  if (named === null || asked === null || asked === named)
    $("named").append(" ", make("small", { textContent: named === null ? "unrecognised" : `${percent(data.sure[row])} sure` }));
  const facts = [`Row ${row}`];
  if (random.has(row)) facts.push("random sample");
  if (asked !== null && asked !== named) facts.push(`the label; ${named === null ? "like no real image to the oracle" : `the oracle says ${named}, ${percent(data.sure[row])} sure`}`);
  else if (asked === null) facts.push(named === null ? "like no real image to the oracle" : "named by the oracle");
  else facts.push("the label, and the oracle says so");
  $("facts").textContent = facts.join(" · ");
  $("facts").classList.toggle("differs", asked !== null && asked !== named);
  for (const button of $("stage").querySelectorAll("[data-verdict]"))
    button.setAttribute("aria-pressed", button.dataset.verdict === (pick?.verdict ?? "none"));
  for (const button of $("classes").children)
    button.setAttribute("aria-pressed", pick?.verdict === "class" && data.classes[button.value] === pick.class);
}

function totals() {
  const reviewed = [...picks].filter(([, pick]) => pick.verdict).map(([row]) => row);
  const drawn = reviewed.filter(row => random.has(row)).length;
  $("bar").max = size;
  $("bar").value = reviewed.length;
  const n = value => value.toLocaleString("en");
  $("count").textContent = `${n(reviewed.length)} of ${n(size)} reviewed · ${drawn} of ${random.size} of the random sample`;
  for (const section of $("groups").querySelectorAll(".group")) {
    const done = section.group.rows.filter(row => verdictOf(row)).length;
    section.querySelector("small").textContent = `${n(done)} of ${n(section.group.rows.length)}`;
  }
  $("undo").disabled = !undoing.length;
  $("done").textContent = finished ? "Not done yet" : "Done";
  $("done").classList.toggle("main", !finished);
  document.body.classList.toggle("finished", finished);
  const where = [`Generation ${data.picks.generation}`];
  if (data.lineages > 1) where.push(`lineage ${data.picks.lineage}`);
  where.push(finished ? "marked done" : data.served ? "saved as you go" : "kept in this browser; Done downloads picks.json");
  $("where").textContent = where.join(" · ");
}

function put(row, verdict, name) {
  const pick = { verdict, at: Date.now() };
  if (verdict === "class") pick.class = name;
  picks.set(row, pick);
  outbox.set(row, pick);
  redraw(row);
  save();
  totals();
}

function give(verdict, name) {
  const there = list[current];
  if (!there) return;
  undoing.push([there.row, picks.get(there.row), current]);
  put(there.row, verdict, name);
  announce(verdict === "class" ? `Is really ${name}.` : `${MARK[verdict].slice(2)}.`);
  next();
}

function next() {
  const after = list.findIndex(({ row }, i) => i > current && !verdictOf(row));
  const any = after >= 0 ? after : list.findIndex(({ row }) => !verdictOf(row));
  if (any < 0) announce("All of these are reviewed.");
  go(any < 0 ? current : any);
}

function undo() {
  const last = undoing.pop();
  if (!last) return;
  const [row, before, index] = last;
  put(row, before?.verdict ?? null, before?.class);
  announce("Taken back.");
  const at = list[index]?.row === row ? index : list.findIndex(there => there.row === row);
  go(at < 0 ? current : at);
}

function announce(text) {
  $("said").textContent = `${text} ${$("count").textContent}`;
}

function done() {
  finished = !finished;
  finishedAt = Math.max(Date.now(), finishedAt + 1);
  outboxFinished = finished;
  save();
  totals();
  announce(finished ? "Marked as done." : "Not done yet.");
  if (finished && !data.served) download();
}

// Naming a class ---------------------------------------------------------------------------------

// A digit is a class's own name where every name is one; else its place, where ten keys are enough.
const single = data.classes.every(name => /^\d$/.test(name));
const keyOf = label => (single ? data.classes[label] : data.classes.length <= 10 ? String((label + 1) % 10) : null);
const byKey = new Map(data.classes.map((name, label) => [keyOf(label), name]));
let matching = [], choice = 0;

function naming() {
  if (!list[current]) return;
  $("typed").value = "";
  match();
  $("naming").showModal();
}

function match() {
  const typed = $("typed").value.trim().toLowerCase();
  const starts = name => name.toLowerCase().startsWith(typed);
  matching = data.classes.filter(name => name.toLowerCase().includes(typed)).sort((a, b) => starts(b) - starts(a));
  choose(0);
}

function choose(index) {
  choice = Math.max(0, Math.min(index, matching.length - 1));
  $("matches").replaceChildren(...matching.map((name, i) => {
    const item = make("li", { id: `match-${i}`, textContent: name, role: "option", onclick: () => take(name) });
    item.setAttribute("aria-selected", i === choice);
    return item;
  }));
  $("typed").setAttribute("aria-activedescendant", matching.length ? `match-${choice}` : "");
  $("matches").children[choice]?.scrollIntoView({ block: "nearest" });
}

function take(name) {
  $("naming").close();
  give("class", name);
}

$("typed").addEventListener("input", match);
$("typed").addEventListener("keydown", event => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) choose(choice + step);
  else if (event.key === "Enter" && matching.length) take(matching[choice]);
  else return;
  event.preventDefault();
});

// Keys and clicks --------------------------------------------------------------------------------

function line(step) {
  const here = cards.get(list[current].row).element, middle = here.offsetLeft + here.offsetWidth / 2;
  let best = null;
  for (let i = current + step; i >= 0 && i < list.length; i += step) {
    if (i >= shown) more();
    const { offsetTop, offsetLeft, offsetWidth } = cards.get(list[i].row).element;
    if (offsetTop === here.offsetTop) continue;
    if (best && offsetTop !== best.top) break;
    const away = Math.abs(offsetLeft + offsetWidth / 2 - middle);
    if (!best || away < best.away) best = { i, away, top: offsetTop };
  }
  if (best) go(best.i);
}

const KEYS = {
  " ": () => give("keep"), r: () => give("reject"), x: () => give("nonsense"), c: naming,
  j: () => go(current + 1), ArrowRight: () => go(current + 1),
  k: () => go(current - 1), ArrowLeft: () => go(current - 1),
  ArrowDown: () => line(1), ArrowUp: () => line(-1),
  Home: () => go(0), End: () => go(list.length - 1),
  n: next, u: undo, f: () => $("filter").focus(), "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", event => {
  const target = event.target, onCard = target === document.body || target.classList.contains("card");
  if (document.querySelector("dialog[open]") || target.matches("input, select")) return;
  if (event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key !== "z" || event.altKey) return;
    event.preventDefault();
    return undo();
  }
  if (event.key === " " && !onCard) return; // it presses the button that has the focus
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const name = event.key.length === 1 ? byKey.get(event.key) : undefined;
  if (!act && name === undefined) return;
  event.preventDefault();
  if (act) act();
  else give("class", name);
});

$("groups").addEventListener("click", event => {
  const row = event.target.closest(".card")?.dataset.row;
  if (row !== undefined) go(list.findIndex(there => there.row === +row));
});
for (const button of document.querySelectorAll(".verdicts button"))
  button.onclick = () => (button.dataset.verdict === "class" ? naming() : give(button.dataset.verdict));
$("undo").onclick = undo;
$("done").onclick = done;
$("help").onclick = KEYS["?"];
$("filter").onchange = () => {
  current = -1;
  build();
  go(Math.max(0, list.findIndex(({ row }) => !verdictOf(row))), false);
  scrollTo(0, 0);
};
narrow.onchange = () => {
  document.documentElement.style.setProperty("--tile", `${tile() + 14}px`);
  build();
  go(current, false);
};
addEventListener("beforeunload", event => {
  if (data.served && $("alert").textContent && outbox.size) event.preventDefault();
});
addEventListener("pagehide", () => {
  if (data.served && (outbox.size || outboxFinished !== null)) post(true);
});
addEventListener("focus", () => data.served && save()); // what another tab has said
addEventListener("storage", event => {
  if (event.key !== KEY || data.served) return;
  merge(stored());
  totals();
  stage();
});

// Begin ------------------------------------------------------------------------------------------

document.querySelector("h1").textContent = data.run;
const choices = [["All", ["all"]], ...data.groups.map(group => [group.name, ["group", group.name]])];
for (const [name, verdict] of [["Without a verdict", null], ["Kept", "keep"], ["Rejected", "reject"], ["Nonsense", "nonsense"], ["Renamed", "class"]])
  choices.push([name, ["verdict", verdict]]);
for (const [name, value] of choices) {
  const option = make("option", { textContent: name, value: JSON.stringify(value) });
  option.dataset.name = name;
  $("filter").append(option);
}
if (data.classes.length <= 12)
  for (const [label, name] of data.classes.entries()) {
    const button = make("button", { type: "button", value: label, title: `is really ${name}`, onclick: () => give("class", name) }, name);
    if (!single && keyOf(label)) button.append(" ", make("kbd", { textContent: keyOf(label) }));
    $("classes").append(button);
  }
if (data.classes.length <= 10) $("digits").textContent = single ? ", or press its digit" : ", or press its number";
document.documentElement.style.setProperty("--tile", `${tile() + 14}px`);
if (!data.served) merge(stored());
build();
go(Math.max(0, list.findIndex(({ row }) => !verdictOf(row))), false);
