// SPDX-License-Identifier: Apache-2.0
// The list of runs, how the one in this program stands, and the table that compares all.
"use strict";

function showStatus() {
  const status = $("status"), run = page.runs.get(page.live);
  let text = "connected", part = 0;
  if (page.connected === false) text = "connection lost, trying again";
  else if (run) {
    const {progress} = run;
    text = run.name;
    if (progress) {
      const share = progress.batches ? progress.batch / progress.batches : 0;
      text += ` · epoch ${progress.epoch}${run.epochs ? "/" + run.epochs : ""} · ${progress.stage} ${Math.round(share * 100)} %`;
      part = run.epochs ? (progress.epoch - 1 + (progress.stage === "train" ? share : 1)) / run.epochs : share;
    }
    text += ` · ${duration(secondsOf(run))}`;
  } else {
    const running = [...page.runs.values()].filter((each) => each.state === "running").length;
    text = `${page.runs.size} run${page.runs.size === 1 ? "" : "s"}${running ? `, ${running} running` : ""}`;
  }
  status.dataset.state = page.connected === false ? "lost" : run ? "live" : "";
  status.lastElementChild.textContent = text;
  $("bar").firstElementChild.style.width = `${100 * Math.min(part, 1)}%`;
  $("save").hidden = $("stop").hidden = !run || page.connected === false;
  document.title = run ? `${run.name} · Athanor` : "Athanor";
}

const items = new Map();
const showRuns = throttle(400, () => {
  const wanted = $("filter").value.toLowerCase();
  const list = [...page.runs.values()].filter((run) => run.name.toLowerCase().includes(wanted)).sort((a, b) => b.begun - a.begun || b.last - a.last);
  const nodes = list.map((run) => {
    let item = items.get(run.run);
    if (!item) {
      const box = make("input", {type: "checkbox"}), name = make("b"), dot = make("i", {className: "dot"}), line = make("small");
      const node = make("li", {}, box, name, dot, line);
      box.onchange = () => { pick(run.run, box.checked); page.focus = run.run; showAll(); };
      node.onclick = (event) => {
        if (event.target === box) return;
        page.focus = run.run;
        if (!event.ctrlKey && !event.metaKey && !event.shiftKey) page.picked.clear();
        pick(run.run, true);
        showAll();
      };
      items.set(run.run, item = {node, box, name, dot, line});
    }
    const best = run.best ? `best ${run.best.monitor} ${number(run.best.value)}` : [...run.values].slice(0, 1).map(([k, v]) => `${k} ${number(v)}`)[0];
    item.name.textContent = run.name;
    item.node.title = run.problem || run.reason || run.name;
    item.dot.dataset.state = run.state;
    item.line.textContent = [best, run.epochs ? `${number(run.epoch, 1)}/${run.epochs}` : `${number(run.epoch, 1)} epochs`].filter(Boolean).join(" · ");
    item.box.checked = page.picked.has(run.run);
    item.box.setAttribute("aria-label", `show ${run.name}`);
    item.node.style.setProperty("--colour", item.box.checked ? colourOf(run.run) : "transparent");
    item.node.setAttribute("aria-current", page.focus === run.run);
    return item.node;
  });
  $("runs").replaceChildren(...nodes);
});

function showAll() {
  showStatus();
  showRuns();
  if (page.view === "curves") showCurves();
  if (page.view === "table") showTable();
  if (page.view === "details") showDetails();
}

// ---- the table of runs

const compare = (a, b) => {
  const numeric = (value) => (value === "" || value === null || value === undefined ? NaN : Number(value));
  const x = numeric(a), y = numeric(b);
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return Number.isNaN(x) ? String(a ?? "").localeCompare(String(b ?? "")) : x - y;
};

const showTable = throttle(700, () => {
  if (page.view !== "table") return;
  const wanted = $("filter").value.toLowerCase();
  const runs = [...page.runs.values()].filter((run) => run.name.toLowerCase().includes(wanted));
  const values = new Map(), options = new Map();
  for (const run of runs) {
    for (const name of run.values.keys()) values.set(name, true);
    for (const [name, value] of run.options) options.set(name, (options.get(name) ?? new Set()).add(value));
  }
  const differs = [...options].filter(([name, seen]) => runs.length === 1 || seen.size > 1 || runs.some((run) => !run.options.has(name))).map(([name]) => name);
  const columns = [
    {key: "name", title: "run", of: (run) => run.name},
    {key: "state", title: "state", of: (run) => run.state},
    ...(runs.some((run) => run.best) ? [{key: "best", title: "best", of: (run) => run.best?.value, number: true}] : []),
    {key: "epoch", title: "epochs", of: (run) => run.epoch, number: true},
    {key: "step", title: "steps", of: (run) => run.step, number: true},
    {key: "seconds", title: "time", of: secondsOf, text: (run) => duration(secondsOf(run)), number: true},
    ...[...values.keys()].map((name, i) => ({key: "v:" + name, title: name, of: (run) => run.values.get(name), number: true, group: i === 0})),
    ...differs.map((name, i) => ({key: "o:" + name, title: name, of: (run) => run.options.get(name), group: i === 0})),
  ];
  const by = columns.find((column) => column.key === page.sort.key);
  runs.sort((a, b) => (by ? compare(by.of(a), by.of(b)) : a.begun - b.begun) * (page.sort.down ? -1 : 1));
  const head = make("tr", {}, ...columns.map((column) => {
    const button = make("button", {type: "button", textContent: column.title, onclick: () => {
      page.sort = {key: column.key, down: page.sort.key === column.key ? !page.sort.down : false};
      showTable();
    }});
    if (column.key === page.sort.key) button.setAttribute("aria-sort", page.sort.down ? "descending" : "ascending");
    return make("th", {className: [column.number ? "number" : "", column.group ? "group" : ""].join(" ")}, button);
  }));
  const rows = runs.slice(0, 1000).map((run) => make("tr", {}, ...columns.map((column) => {
    if (column.key === "name") {
      const swatch = make("i", {className: "swatch"});
      if (page.picked.has(run.run)) swatch.style.setProperty("--colour", colourOf(run.run));
      const cell = make("td", {}, make("div", {className: "pick"}, swatch, run.name));
      cell.onclick = () => { page.focus = run.run; pick(run.run, !page.picked.has(run.run)); showAll(); };
      return cell;
    }
    const text = column.text ? column.text(run) : column.number ? number(column.of(run)) : column.of(run) ?? "";
    return make("td", {className: [column.number ? "number" : "", column.group ? "group" : "", column.key === "best" ? "best" : ""].join(" "), textContent: text, title: column.key === "best" ? run.best?.monitor ?? "" : ""});
  })));
  const old = $("table").querySelector(".scroll"), left = old?.scrollLeft ?? 0;
  const scroll = make("div", {className: "scroll"}, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  $("table").replaceChildren(scroll);
  scroll.scrollLeft = left;
});
