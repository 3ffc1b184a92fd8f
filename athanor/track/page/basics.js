// SPDX-License-Identifier: Apache-2.0
// What all of the page uses: the tree of the document, what is known of the runs, numbers as text.
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
