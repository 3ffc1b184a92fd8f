// SPDX-License-Identifier: Apache-2.0
// The charts of the runs that are picked.
"use strict";

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
