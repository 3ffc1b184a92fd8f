// SPDX-License-Identifier: Apache-2.0
// The live page. Names of runs, values and options are the user's: they only ever become text nodes, never markup.
"use strict";

const COLOURS = {
  light: ["#2f74d0", "#d9662b", "#23966a", "#9159c9", "#cf3f68", "#1793ad", "#a87f1c", "#6d7684", "#759328", "#b94fab"],
  dark: ["#5c9df2", "#f28a50", "#45ba8b", "#b48aec", "#f0708f", "#40b9d5", "#d1a840", "#9aa5b5", "#9fbd50", "#dd80d0"],
};
const STAGES = {train: 0, val: 1, test: 2};
const SETTINGS = /^(lr|momentum|weight_decay|beta|gradient_norm|update_ratio|loss_scale|temperature)/;
const MACHINE = /^(samples_per_second|memory_mb|cpu_cores|device_memory)/;
const MOST_PICKED = 40;

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(node.dataset, value);
    else if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
};
const throttle = (wait, action) => {
  let timer = 0, last = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => { timer = 0; last = performance.now(); action(); }, Math.max(0, last + wait - performance.now()));
  };
};

const page = {
  boot: null, version: 0, again: null, connected: true, live: null, runs: new Map(), picked: new Map(), seen: false, focus: null, view: "curves",
  axis: "step", smoothing: 0, logX: false, logY: false, zoom: null, sort: {key: "begun", down: true}, token: "",
};

// ---- numbers as text

const number = (value, digits = 4) => {
  if (typeof value === "string") return {NaN: "NaN", Infinity: "∞", "-Infinity": "−∞"}[value] ?? value;
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2).replace("e+", "e") : value.toFixed(digits).replace(/\.?0+$/, "");
};
const duration = (seconds) => {
  if (!Number.isFinite(seconds)) return "";
  const s = Math.round(seconds), pad = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${pad(s % 60)}` : `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
};
const clock = (time) => new Date(time * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23"});
const secondsOf = (run) => run.begun ? ((run.state === "ended" || run.state === "broken" ? run.ended : 0) || run.last) - run.begun : NaN;

// ---- talking to the server

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

// ---- what is always there

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

// ---- curves

const charts = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Which values belong on one chart: train_loss and val_loss are loss.
function partsOf(name, quantities) {
  const plain = /^(train|val|valid|validation|test)_(.+)$/.exec(name);
  if (plain) return {stage: plain[1].startsWith("val") ? "val" : plain[1], quantity: plain[2]};
  for (let at = name.indexOf("_"); at > 0; at = name.indexOf("_", at + 1)) {
    if (quantities.has(name.slice(at + 1))) return {stage: name.slice(0, at), quantity: name.slice(at + 1)};
  }
  return {stage: "", quantity: name};
}

function wantedCharts() {
  const keys = new Set();
  // A setting that never changes is no curve; the learning rate is one always.
  const worth = (key, varies) => varies || !SETTINGS.test(key.slice(2)) || /^..(lr|gradient_norm)/.test(key);
  for (const run of page.picked.keys()) for (const [key, varies] of page.runs.get(run)?.curves ?? []) if (worth(key, varies)) keys.add(key);
  const quantities = new Set([...keys].map((key) => /^..train_(.+)$/.exec(key)?.[1]).filter(Boolean));
  const wanted = new Map();
  for (const key of keys) {
    const name = key.slice(2), {stage, quantity} = partsOf(name, quantities);
    const section = SETTINGS.test(name) ? "Optimizer" : MACHINE.test(name) ? "Machine" : "Learning";
    if (section !== "Learning" && key.startsWith("e:") && keys.has("s:" + name)) continue;
    if (!wanted.has(quantity)) wanted.set(quantity, {quantity, section, keys: []});
    wanted.get(quantity).keys.push({key, stage, ofSteps: key.startsWith("s:")});
  }
  const rank = ({quantity}) => (quantity === "loss" ? 0 : 1);
  return [...wanted.values()].sort((a, b) => rank(a) - rank(b) || a.quantity.localeCompare(b.quantity));
}

function showCurves() {
  const host = $("curves"), wanted = wantedCharts();
  if (page.picked.size === 0 || wanted.length === 0) {
    for (const chart of charts.values()) chart.remove();
    host.replaceChildren(make("p", {className: "empty", textContent: page.runs.size === 0 ? "No runs yet. They appear here when they begin." : page.picked.size === 0 ? "Pick a run on the left." : "No values yet."}));
    return;
  }
  host.querySelector(".empty")?.remove();
  const names = new Set(wanted.map((each) => each.quantity));
  for (const [name, chart] of charts) if (!names.has(name)) chart.remove();
  for (const section of ["Learning", "Optimizer", "Machine"]) {
    const here = wanted.filter((each) => each.section === section);
    let block = host.querySelector(`[data-section="${section}"]`);
    if (here.length === 0) { block?.remove(); continue; }
    if (!block) host.append(block = make("div", {dataset: {section}}, make("h2", {textContent: section}), make("div", {className: "grid"})));
    for (const each of here) {
      const chart = charts.get(each.quantity) ?? new Chart(each.quantity);
      if (chart.card.parentNode !== block.lastElementChild) block.lastElementChild.append(chart.card);
      chart.keys = each.keys;
      chart.update();
    }
  }
}

const onScreen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    entry.target.chart.visible = entry.isIntersecting;
    if (entry.isIntersecting) entry.target.chart.update();
  }
}, {rootMargin: "200px"});
const resized = new ResizeObserver((entries) => { for (const entry of entries) entry.target.chart.resize(); });

class Chart {
  constructor(quantity) {
    this.quantity = quantity;
    this.title = make("h3", {textContent: quantity});
    this.note = make("small");
    this.plot = make("div", {className: "plot"});
    this.card = make("article", {className: "card", dataset: {quantity}}, make("div", {className: "head"}, this.title, this.note), this.plot);
    this.card.chart = this.plot.chart = this;
    this.stale = true;
    this.asked = "";
    this.update = throttle(500, () => this.refresh());
    charts.set(quantity, this);
    onScreen.observe(this.card);
    resized.observe(this.plot);
  }

  remove() {
    this.uplot?.destroy();
    onScreen.unobserve(this.card);
    resized.unobserve(this.plot);
    this.card.remove();
    charts.delete(this.quantity);
  }

  resize() {
    const width = this.plot.clientWidth;
    if (this.uplot && width > 0 && width !== this.uplot.width) this.uplot.setSize({width, height: 220});
  }

  query(keys, smoothing) {
    const columns = Math.min(Math.max(this.plot.clientWidth, 200), page.picked.size > 8 ? 250 : 600);
    const query = new URLSearchParams({runs: [...page.picked.keys()].join(","), x: page.axis, columns, smoothing});
    for (const {key} of keys) query.append("name", key);
    if (page.zoom) { query.set("from", page.zoom[0]); query.set("to", page.zoom[1]); }
    return `api/curves?${query}`;
  }

  async refresh() {
    if (!this.visible || page.view !== "curves" || this.busy) return;
    const ofSteps = this.keys.filter((each) => each.ofSteps);
    const wanted = this.query(this.keys, 0) + page.smoothing + page.logX + page.logY + css("--ground") + [...page.picked];
    if (!this.stale && wanted === this.asked) return;
    this.stale = false;
    this.asked = wanted;
    this.busy = true;
    try {
      const plain = await ask(this.query(this.keys, 0));
      const smooth = page.smoothing > 0 && ofSteps.length > 0 ? await ask(this.query(ofSteps, page.smoothing)) : {curves: []};
      if (wanted === this.query(this.keys, 0) + page.smoothing + page.logX + page.logY + css("--ground") + [...page.picked]) this.draw(plain.curves, smooth.curves);
      else { this.stale = true; this.update(); }
    } catch { this.stale = true; } finally { this.busy = false; }
  }

  draw(plain, smooth) {
    if (typeof uPlot === "undefined") {
      this.plot.replaceChildren(...plain.map((curve) => make("p", {textContent: `${curve.name.slice(2)}: ${number(curve.y.at(-1))}`})));
      return;
    }
    const lines = [...plain.map((curve) => ({...curve, smooth: false})), ...smooth.map((curve) => ({...curve, smooth: true}))].map((curve) => {
      const {stage, ofSteps} = this.keys.find((each) => each.key === curve.name);
      return {...curve, stage, ofSteps};
    });
    this.shown = lines;
    const gone = plain.reduce((sum, curve) => sum + curve.not_finite, 0);
    this.note.textContent = gone ? `${gone} NaN or ∞` : "";
    const look = lines.map((line) => JSON.stringify(this.lookOf(line)));
    const data = lines.length ? uPlot.join(lines.map((line) => [line.x, page.logY ? line.y.map((y) => (y > 0 ? y : null)) : line.y]), lines.map(() => [1, 1])) : [[]];
    const same = this.uplot && this.look === look.join() + page.axis + page.logX + page.logY + css("--ground");
    this.best = lines.length && page.picked.size === 1 ? page.runs.get([...page.picked.keys()][0])?.best : null;
    if (same) {
      this.uplot.setData(data, false);
      this.uplot.batch(() => this.rescale());
      return;
    }
    this.look = look.join() + page.axis + page.logX + page.logY + css("--ground");
    this.uplot?.destroy();
    this.uplot = new uPlot(this.options(lines), data, this.plot);
    this.rescale();
  }

  rescale() {
    const x = this.uplot.data[0];
    let [from, to] = page.zoom ?? [x[0] ?? 0, x.at(-1) ?? 1];
    if (page.logX) from = Math.max(from, x.find((each) => each > 0) ?? 1);
    if (to <= from) { from -= page.logX ? 0 : 0.5; to = from + 1; }
    this.uplot.setScale("x", {min: from, max: to});
  }

  lookOf(line) {
    const alone = page.picked.size === 1;
    const stroke = alone ? colour(STAGES[line.stage] ?? Math.max(0, this.keys.findIndex((each) => each.key === line.name))) : colourOf(line.run);
    const paired = this.keys.some((each) => !each.ofSteps && each.stage === line.stage);
    const faint = line.ofSteps && !line.smooth && (page.smoothing > 0 || paired);
    const label = [alone ? "" : page.runs.get(line.run)?.name, line.name.slice(2), line.ofSteps && paired ? "(steps)" : "", line.smooth ? "(smooth)" : ""];
    return {
      label: label.filter(Boolean).join(" "), stroke: faint ? stroke + "66" : stroke, width: line.ofSteps ? (faint ? 1 : 1.5) : 2,
      dash: !alone && !line.ofSteps && line.stage === "train" ? [5, 4] : undefined, points: line.x.length === 1,
    };
  }

  options(lines) {
    const soft = css("--soft"), grid = css("--grid");
    const axis = {stroke: soft, grid: {stroke: grid, width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif", gap: 6};
    const xValue = (value) => (page.axis === "time" ? duration(value) : number(value, page.axis === "epoch" ? 2 : 0));
    return {
      width: Math.max(this.plot.clientWidth, 200), height: 220, padding: [8, 24, 0, 0],
      legend: {markers: {width: 0, fill: (plot, series) => plot.series[series].stroke(plot, series)}},
      cursor: {sync: {key: "athanor", scales: ["x", null]}, drag: {x: true, y: false, setScale: false}, points: {size: 6}},
      scales: {
        x: {time: false, distr: page.logX ? 3 : 1},
        y: {distr: page.logY ? 3 : 1, range: page.logY ? undefined : (_, low, high) => {
          if (low === null) return [0, 1];
          const air = (high - low || Math.abs(high) || 1) * 0.06;
          return [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
        }},
      },
      axes: [
        {...axis, size: 28, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : page.axis === "time" ? duration(tick) : tick >= 1e4 ? number(tick / 1000, 1) + "k" : number(tick, 2))},
        {...axis, size: 56, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : Math.abs(tick) >= 1e4 && Math.abs(tick) < 1e6 ? number(tick / 1000, 1) + "k" : number(tick, 6))},
      ],
      series: [{label: {step: "step", epoch: "epoch", time: "time"}[page.axis], value: (_, value) => (value === null ? "–" : xValue(value))}, ...lines.map((line) => {
        const look = this.lookOf(line);
        return {...look, points: {show: look.points, size: 7}, value: (plot, value, series, index) => number(index === null || index === undefined ? this.lastOf(series - 1) : value ?? this.near(series, index)) || "–"};
      })],
      hooks: {
        setSelect: [(plot) => {
          if (plot.select.width < 4) return;
          zoomTo([plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")]);
          plot.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
        }],
        draw: [(plot) => this.markBest(plot)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => zoomTo(null))],
      },
    };
  }

  lastOf(index) {
    const line = this.shown?.[index];
    return line?.y.findLast((y) => y !== null);
  }

  // The cursor lies on a step that another curve has: the value of this one before it.
  near(series, index) {
    const values = this.uplot?.data[series] ?? [];
    for (let i = index; i >= 0; --i) if (values[i] !== undefined && values[i] !== null) return values[i];
    return null;
  }

  markBest(plot) {
    const at = this.best?.[page.axis];
    if (at === undefined || at === null || this.best.epoch <= 0) return;
    const x = plot.valToPos(at, "x", true), {left, top, width, height} = plot.bbox;
    if (!(x >= left && x <= left + width)) return;
    const pen = plot.ctx;
    pen.save();
    pen.strokeStyle = css("--fire");
    pen.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    pen.lineWidth = devicePixelRatio;
    pen.beginPath();
    pen.moveTo(x, top);
    pen.lineTo(x, top + height);
    pen.stroke();
    pen.fillStyle = css("--fire");
    pen.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
    pen.textAlign = x > left + width * 0.8 ? "right" : "left";
    pen.textBaseline = "top";
    pen.fillText("best", x + (pen.textAlign === "right" ? -4 : 4) * devicePixelRatio, top);
    pen.restore();
  }
}

function zoomTo(range) {
  page.zoom = range;
  $("reset").hidden = range === null;
  for (const chart of charts.values()) { chart.stale = true; chart.update(); }
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

// ---- one run

const facts = (entries) => make("dl", {}, ...entries.filter(([, value]) => value !== "" && value !== undefined && value !== null).flatMap(([name, value]) => [make("dt", {textContent: name}), make("dd", {textContent: value})]));
const card = (title, ...content) => make("article", {className: "card"}, make("div", {className: "head"}, make("h3", {textContent: title})), ...content);

function timesOf(run) {
  const total = run.times.reduce((sum, [, seconds]) => sum + seconds, 0);
  const shown = run.times.map(([name, seconds], i) => ({name, seconds, colour: colour(i)})).filter((each) => each.seconds > total / 1000);
  const bar = make("div", {className: "stack"}, ...shown.map((each) => {
    const part = make("i", {title: each.name});
    part.style.width = `${100 * each.seconds / total}%`;
    part.style.background = each.colour;
    return part;
  }));
  const list = make("div", {className: "phases"}, ...shown.flatMap((each) => {
    const swatch = make("i", {className: "swatch"});
    swatch.style.setProperty("--colour", each.colour);
    return [swatch, make("span", {textContent: each.name}), make("span", {textContent: `${(100 * each.seconds / total).toFixed(1)} %`}), make("span", {textContent: each.seconds >= 60 ? duration(each.seconds) : `${each.seconds.toFixed(2)} s`})];
  }));
  return card("Where the time goes", bar, list, make("p", {textContent: run.verdict}));
}

// Tables of Markdown become tables, with heat where all cells are numbers; everything else stays text.
function textOf({name, step, markdown}) {
  const lines = markdown.split("\n").filter((line) => line.trim());
  const box = make("article", {className: "card"}, make("div", {className: "head"}, make("h3", {textContent: name}), make("small", {textContent: `step ${step}`})));
  if (lines.length < 3 || !lines.every((line) => line.trim().startsWith("|")) || !/^[|\s:-]+$/.test(lines[1])) {
    box.append(make("pre", {textContent: markdown}));
    return box;
  }
  const cells = lines.map((line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()));
  const body = cells.slice(2), numeric = body.every((row) => row.slice(1).every((cell) => cell !== "" && Number.isFinite(Number(cell))));
  const most = Math.max(1e-300, ...body.flatMap((row) => row.slice(1).map(Number)).filter(Number.isFinite));
  const table = make("table", {className: numeric ? "heat" : ""}, make("thead", {}, make("tr", {}, ...cells[0].map((cell) => make("th", {textContent: cell})))), make("tbody", {}, ...body.map((row) => make("tr", {}, ...row.map((cell, i) => {
    const node = make(i === 0 && numeric ? "th" : "td", {textContent: cell});
    if (numeric && i > 0) {
      const heat = Math.sqrt(Math.max(0, Number(cell)) / most);
      node.style.setProperty("--heat", `${Math.round(90 * heat)}%`);
      if (heat > 0.72) node.className = "hot";
    }
    return node;
  })))));
  box.append(make("div", {className: "wide"}, table));
  return box;
}

function histogramOf({name, step, edges, counts}) {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), most = Math.max(...counts, 1e-300);
  svg.setAttribute("class", "histogram");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  const low = edges[0], width = edges.at(-1) - low || 1;
  counts.forEach((count, i) => {
    const bar = document.createElementNS(space, "rect"), height = 40 * count / most;
    for (const [key, value] of Object.entries({x: 100 * (edges[i] - low) / width, width: Math.max(100 * (edges[i + 1] - edges[i]) / width - 0.15, 0.1), y: 40 - height, height})) bar.setAttribute(key, value);
    svg.append(bar);
  });
  return make("figure", {}, svg, make("figcaption", {textContent: `${name} · ${number(low)} … ${number(edges.at(-1))} · step ${step}`}));
}

function picturesOf(run) {
  const byName = new Map();
  for (const picture of run.pictures) byName.set(picture.name, [...(byName.get(picture.name) ?? []), picture]);
  const groups = new Map();
  for (const [name, list] of byName) {
    const group = name.includes("/") ? name.slice(0, name.indexOf("/")) : "pictures";
    const image = make("img", {loading: "lazy", alt: name}), text = make("div"), slider = make("input", {type: "range", min: 0, max: list.length - 1, value: list.length - 1, hidden: list.length < 2, ariaLabel: `step of ${name}`});
    const show = () => {
      const picture = list[slider.value];
      image.src = `api/picture?run=${run.run}&picture=${picture.picture}`;
      text.textContent = `${name} · step ${picture.step}`;
    };
    slider.oninput = show;
    show();
    groups.set(group, [...(groups.get(group) ?? []), make("figure", {}, image, make("figcaption", {}, text, slider))]);
  }
  return [...groups].map(([group, figures]) => card(group, make("div", {className: "pictures"}, ...figures)));
}

let detailed = "";
const showDetails = throttle(1000, async () => {
  if (page.view !== "details") return;
  const host = $("details"), focus = page.focus ?? [...page.picked.keys()][0];
  if (focus === undefined || focus === null) return host.replaceChildren(make("p", {className: "empty", textContent: "Pick a run on the left."}));
  let run;
  try { run = await ask(`api/run?run=${focus}`); } catch { return; }
  const now = JSON.stringify(run);
  if (now === detailed || page.view !== "details") return;
  detailed = now;
  const scrolled = [scrollX, scrollY];
  const blocks = [card(run.name, facts([
    ["state", run.state], ["why", run.reason], ["problem", run.problem], ["best", run.best ? `${run.best.monitor} ${number(run.best.value)}, epoch ${run.best.epoch}` : ""],
    ["epochs", `${number(run.epoch, 2)}${run.epochs ? " of " + run.epochs : ""}`], ["steps", number(run.step)], ["begun", run.begun ? new Date(run.begun * 1000).toLocaleString() : ""], ["time", duration(secondsOf(run))],
    ["device", run.device], ["threads", run.threads || ""], ["seed", run.seed], ["parameters", run.parameters ? run.parameters.toLocaleString("en") : ""],
  ]))];
  if (run.times.length) blocks.push(timesOf(run));
  if (run.options.length) blocks.push(card("Options", facts(run.options)));
  if (run.values.length) blocks.push(card("Values at the end of the last epoch", facts(run.values.map(([name, value]) => [name, number(value)]))));
  if (run.notes.length) blocks.push(card("Notes", ...run.notes.map((note) => make("p", {textContent: note}))));
  const wide = [];
  for (const text of run.texts) wide.push(textOf(text));
  wide.push(...picturesOf(run));
  if (run.histograms.length) wide.push(card("Histograms", make("div", {className: "grid"}, ...run.histograms.map(histogramOf))));
  if (run.messages.length) {
    const list = make("div", {className: "messages"}, ...run.messages.map((each) => make("p", {className: each.warning ? "warning" : ""}, make("time", {textContent: clock(each.time)}), make("span", {textContent: each.text}))));
    wide.push(card("Messages", list));
    queueMicrotask(() => { list.scrollTop = list.scrollHeight; });
  }
  host.replaceChildren(make("div", {className: "columns"}, ...blocks), ...wide.map((each) => { each.style.marginTop = "14px"; return each; }));
  scrollTo(...scrolled);
});

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
