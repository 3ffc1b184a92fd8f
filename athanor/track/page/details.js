// SPDX-License-Identifier: Apache-2.0
// Everything about one run.
"use strict";

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
