// SPDX-License-Identifier: Apache-2.0
// The live page. Names of runs, values and options are the user's: they only ever become text nodes, never markup.
"use strict";

const ask = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};

async function readRuns() {
  const {version, runs} = await ask(`api/runs?since=${page.version}`);
  page.version = version;
  for (const run of runs) {
    const values = new Map(run.values);
    page.runs.set(run.run, {...run, values, options: new Map(run.options), curves: new Map(run.curves.map(([key, , varies]) => [key, varies]))});
    for (const chart of charts.values()) if (page.picked.has(run.run)) chart.stale = true;
  }
  if (!page.seen && page.runs.size > 0) firstPick();
  if (runs.length > 0) showAll();
}

function firstPick() {
  page.seen = true;
  const runs = [...page.runs.values()], again = page.again;
  page.again = null;
  let first = again ? runs.filter((run) => again.names.includes(run.name)) : [];
  if (first.length === 0 && page.live !== null) first = runs.filter((run) => run.run === page.live);
  if (first.length === 0) first = runs.sort((a, b) => b.last - a.last).slice(0, 5);
  for (const run of first) pick(run.run, true);
  page.focus = (first.find((run) => run.name === again?.focus) ?? first[0]).run;
}

function pick(number_, wanted) {
  if (!wanted) return page.picked.delete(number_);
  const used = new Set(page.picked.values());
  let free = 0;
  while (used.has(free)) free += 1;
  if (page.picked.size < MOST_PICKED && !page.picked.has(number_)) page.picked.set(number_, free);
}
const colour = (index) => { const list = COLOURS[document.documentElement.dataset.theme] ?? COLOURS.light; return list[index % list.length]; };
const colourOf = (number_) => colour(page.picked.get(number_));

// What the server said last; asked for one at a time, because events come faster than answers may.
let waiting = null, reading = false;
async function take(state) {
  waiting = state;
  if (reading) return;
  reading = true;
  try {
    while (waiting) {
      const now = waiting;
      waiting = null;
      if (now.boot !== page.boot) restart(now);
      page.live = now.live;
      $("folder").textContent = now.folder;
      await readRuns();
    }
  } catch (error) {
    setTimeout(() => take(state), 1000);
  } finally {
    reading = false;
    showStatus();
  }
}

// Another server numbers its runs anew: what was picked is found again by name.
function restart(state) {
  if (page.seen) page.again = {names: [...page.picked.keys()].map((run) => page.runs.get(run)?.name), focus: page.runs.get(page.focus)?.name};
  page.boot = state.boot;
  page.version = 0;
  page.seen = false;
  page.runs.clear();
  page.picked.clear();
  items.clear();
}
function listen() {
  const events = new EventSource("api/events");
  events.onmessage = (event) => { page.connected = true; take(JSON.parse(event.data)); };
  events.onerror = () => {
    page.connected = false;
    showStatus();
    if (events.readyState === EventSource.CLOSED) { setTimeout(listen, 1500); }
  };
}

async function act(what) {
  const buttons = [$("save"), $("stop")];
  for (const button of buttons) button.disabled = true;
  try {
    const answer = await fetch(`api/${what}`, {method: "POST", headers: {"X-Athanor-Token": page.token}});
    notice((await answer.json()).text);
  } catch { notice("The program does not answer."); }
  for (const button of buttons) button.disabled = false;
}

let noticeTimer = 0;
function notice(text, keep = false) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  clearTimeout(noticeTimer);
  if (!keep) noticeTimer = setTimeout(() => { $("notice").hidden = true; }, 8000);
}

// ---- what a person does

function show(view) {
  page.view = view;
  for (const tab of document.querySelectorAll("[data-view]")) tab.setAttribute("aria-selected", tab.dataset.view === view);
  for (const name of ["curves", "table", "details"]) $(name).hidden = name !== view;
  $("tools").hidden = view !== "curves";
  detailed = "";
  showAll();
}

function redraw() {
  for (const chart of charts.values()) { chart.stale = true; chart.update(); }
}

function begin() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  page.token = fragment.get("token") ?? sessionStorage.getItem("token") ?? "";
  sessionStorage.setItem("token", page.token);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => { document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"); redraw(); };
  dark.onchange = paint;
  $("theme").onclick = () => { localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark"); paint(); };
  paint();
  for (const tab of document.querySelectorAll("[data-view]")) tab.onclick = () => show(tab.dataset.view);
  for (const button of document.querySelectorAll("[data-axis]")) button.onclick = () => {
    page.axis = button.dataset.axis;
    for (const each of document.querySelectorAll("[data-axis]")) each.setAttribute("aria-pressed", each === button);
    zoomTo(null);
  };
  for (const [id, field] of [["log_x", "logX"], ["log_y", "logY"]]) $(id).onclick = () => { page[field] = !page[field]; $(id).setAttribute("aria-pressed", page[field]); redraw(); };
  $("smoothing").oninput = () => { page.smoothing = Number($("smoothing").value); $("smoothing_value").value = page.smoothing; redraw(); };
  $("reset").onclick = () => zoomTo(null);
  $("filter").oninput = () => { showRuns(); showTable(); };
  $("none").onclick = () => { page.picked.clear(); showAll(); };
  $("save").onclick = () => act("save");
  $("stop").onclick = () => {
    $("ask").querySelector("p").textContent = `Stop ${page.runs.get(page.live)?.name ?? "the run"} after the running step? It ends as a run that is complete: what it keeps at its end is kept.`;
    $("ask").showModal();
  };
  $("ask").onclose = () => { if ($("ask").returnValue === "yes") act("stop"); $("ask").returnValue = ""; };
  if (typeof uPlot === "undefined") notice("This build has no uPlot, so there are numbers instead of curves. Configure it again where npm can be reached.", true);
  setInterval(showStatus, 1000);
  listen();
}
begin();
