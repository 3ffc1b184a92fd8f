// SPDX-License-Identifier: Apache-2.0
//
// The live page in a browser, beside programs that train: page_test.mjs <page_run> <folder with node_modules> [<folder for screenshots>]
// Ends with 77 where there is no Chromium or no playwright-core (scripts/bootstrap.sh browser installs both).
import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {launch} from "./browser.mjs";

const [program, modules, shots] = process.argv.slice(2);
const browser = await launch(modules);

const folder = mkdtempSync(join(tmpdir(), "athanor-page-"));
const programs = [];
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
async function until(what, check, seconds = 40) {
  const end = Date.now() + 1000 * seconds;
  for (let last; ; await sleep(100)) {
    try { const answer = await check(); if (answer) return answer; } catch (error) { last = error; }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s${last ? ": " + last : ""}`);
  }
}

async function train(name, epochs, lr, port = 0) {
  const child = spawn(program, [join(folder, "runs", name), epochs, lr, port], {stdio: ["pipe", "pipe", "inherit"]});
  const run = {child, said: ""};
  programs.push(child);
  child.stdout.on("data", (text) => { run.said += text; });
  child.on("exit", (code) => { run.code = code; });
  run.url = await until(`${name} says where its page is`, () => /live page: (http:\S+)/.exec(run.said)?.[1]);
  return run;
}

const faults = [];
async function open(url, options = {}) {
  const context = await browser.newContext({viewport: {width: 1360, height: 900}, ...options});
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error" && !/ERR_(CONNECTION|INCOMPLETE|EMPTY|NETWORK|ABORTED)|status of (403|409)/.test(message.text())) faults.push(message.text()); });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => { if (!/^(http:\/\/127\.0\.0\.1:|data:)/.test(request.url())) faults.push(`asks ${request.url()}`); });
  await page.goto(url);
  return page;
}
const chart = (page, quantity, look) => page.evaluate(([name, text]) => { const c = charts.get(name); return c?.uplot ? Function("c", `return ${text}`)(c) : null; }, [quantity, look]);
const points = (page, quantity = "loss") => chart(page, quantity, "c.uplot.data[0].length");
async function shoot(page, name) {
  if (!shots) return;
  mkdirSync(shots, {recursive: true});
  await sleep(1300);
  await page.screenshot({path: join(shots, `${name}.png`), fullPage: name.includes("full")});
}
const step = (text) => console.log(`- ${text}`);

try {
  const first = await train("first", "30", "0.001");
  let page = await open(first.url);
  await until("a chart of the loss", () => points(page));
  const before = await points(page);
  await until("more points while the run trains", async () => await points(page) > before);
  assert.match(await page.textContent("#status"), /first · epoch \d+\/30/);
  step("points arrive while the program trains");

  await until("the first run's end", () => first.said.includes("ended: all 30 epochs done"));
  await until("its end on the page", async () => (await page.textContent("#status")).includes("1 run"));
  assert.equal(await page.isVisible("#stop"), false);
  first.child.stdin.end();
  await until("the program's end", () => first.code === 0, 10);
  await until("the lost connection", async () => (await page.textContent("#status")).includes("connection lost"));
  step("the end of the program is seen");
  await page.context().close();

  const second = await train("second", "400", "0.02");
  page = await open(second.url);
  await until("both runs in the list", async () => await page.locator("#runs li").count() === 2);
  await until("the chart", () => points(page));
  const alone = await chart(page, "loss", "c.uplot.series.length");
  await page.locator("#runs li", {hasText: "first"}).locator("input").check();
  await until("curves of both", async () => await chart(page, "loss", "c.uplot.series.length") === 2 * (alone - 1) + 1);
  const labels = await chart(page, "loss", "c.uplot.series.map((each) => each.label)");
  assert(labels.some((label) => label.startsWith("first ")) && labels.some((label) => label.startsWith("second ")), labels.join());
  step("runs are overlaid");
  await sleep(3000);
  await shoot(page, "wide-light-overlay");

  const box = await page.locator('[data-quantity="loss"] .u-over').boundingBox();
  const wholeRange = await chart(page, "loss", "[c.uplot.scales.x.min, c.uplot.scales.x.max]");
  await page.mouse.move(box.x + box.width * 0.1, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 60, {steps: 5});
  await page.mouse.up();
  await page.waitForSelector("#reset:not([hidden])");
  const zoomed = await until("the zoomed range", async () => {
    const range = await chart(page, "loss", "[c.uplot.scales.x.min, c.uplot.scales.x.max]");
    return range[1] - range[0] < 0.6 * (wholeRange[1] - wholeRange[0]) && range;
  });
  await until("the same range on another chart", async () => Math.abs(await chart(page, "acc", "c.uplot.scales.x.max") - zoomed[1]) < 1e-6);
  await page.click("#reset");
  await until("the whole range", async () => await chart(page, "loss", "c.uplot.scales.x.max") >= wholeRange[1]);
  step("zoom and back");

  for (const id of ["#log_y", "#log_x", '[data-axis="epoch"]', '[data-axis="time"]', "#log_x", "#log_y", '[data-axis="step"]']) { await page.click(id); await sleep(700); }
  await page.locator("#smoothing").fill("0.9");
  await until("smoothed curves", async () => (await chart(page, "loss", "c.uplot.series.map((each) => each.label)")).some((label) => label.endsWith("(smooth)")));
  step("axes, logarithms, smoothing");

  await page.click('[data-view="table"]');
  const order = async () => page.locator("#table tbody td:first-child").allTextContents();
  await until("two rows", async () => (await order()).length === 2);
  await page.locator("#table thead button", {hasText: /^lr$/}).last().click();
  await until("the smaller lr first", async () => (await order())[0] === "first");
  await page.locator("#table thead button", {hasText: /^lr$/}).last().click();
  await until("the larger lr first", async () => (await order())[0] === "second");
  await shoot(page, "wide-light-table");
  step("the table sorts");

  await page.click('[data-view="details"]');
  await page.locator("#details", {hasText: "a <b>name</b> & more"}).waitFor();
  assert.equal(await page.locator("main b, main script, main img[src=x]").count(), 0);
  await page.locator("#details h3", {hasText: "Where the time goes"}).waitFor();
  await page.locator("#details h3", {hasText: "confusion/val"}).waitFor();
  await page.locator("#details", {hasText: "<b>rising</b>"}).waitFor();
  await until("pictures of the worst", async () => page.evaluate(() => [...document.querySelectorAll("figure img")].filter((image) => image.naturalWidth === 12).length >= 4));
  await shoot(page, "wide-light-details-full");
  step("names stay text; times, confusion matrix and worst samples are there");

  const saved = () => readdirSync(join(folder, "runs", "second", "checkpoints")).filter((name) => !name.startsWith(".")).at(-1);
  const stepOf = (name) => Number(/step-(\d+)/.exec(name ?? "step-0")[1]);
  await until("a checkpoint", saved);
  await page.click("#save");
  await until("the answer to save", async () => (await page.textContent("#notice")).includes("saved after the running step"));
  await until("a checkpoint within an epoch", () => existsSync(join(folder, "runs", "second", "checkpoints")) && readdirSync(join(folder, "runs", "second", "checkpoints")).some((name) => stepOf(name) % 100 !== 0));
  step("saved on demand");

  const stranger = await open(second.url.split("#")[0]);
  await stranger.waitForSelector("#stop:not([hidden])");
  await stranger.click("#stop");
  await stranger.click('#ask [value="yes"]');
  await until("the refusal", async () => (await stranger.textContent("#notice")).includes("token is missing or wrong"));
  assert(!second.said.includes("ended:"));
  const token = second.url.split("token=")[1];
  for (const path of ["api/state", "api/runs", "api/run?run=0", "api/run?run=1"]) {
    assert(!(await stranger.evaluate((where) => fetch(where).then((answer) => answer.text()), path)).includes(token), path);
  }
  await stranger.context().close();
  step("without the token nothing is stopped");

  await page.click('[data-view="curves"]');
  const port = new URL(second.url).port;
  second.child.kill("SIGKILL");
  await until("the lost connection", async () => (await page.textContent("#status")).includes("connection lost"));
  await shoot(page, "wide-light-lost");
  const third = await train("third", "400", "0.005", port);
  await until("the connection again", async () => /third · epoch/.test(await page.textContent("#status")), 60);
  await until("three runs", async () => await page.locator("#runs li").count() === 3);
  assert.deepEqual(await page.evaluate(() => [...page.picked.keys()].map((run) => page.runs.get(run).name).sort()), ["first", "second"]);
  step("another server is found, and the choice is kept");

  await page.goto("about:blank");
  await page.goto(third.url);
  await page.waitForSelector("#stop:not([hidden])");
  await page.click("#stop");
  await page.click('#ask [value="no"]');
  await sleep(300);
  assert(!third.said.includes("ended:"));
  for (const [name, options] of [["narrow-dark", {viewport: {width: 390, height: 844}, colorScheme: "dark"}], ["wide-dark", {colorScheme: "dark"}], ["narrow-light", {viewport: {width: 390, height: 844}}]]) {
    if (!shots) break;
    const other = await open(third.url, options);
    await until("its chart", () => points(other));
    await sleep(2500);
    await shoot(other, `${name}-curves`);
    await other.click('[data-view="details"]');
    await shoot(other, `${name}-details`);
    await other.click('[data-view="table"]');
    await shoot(other, `${name}-table`);
    await other.context().close();
  }
  await page.click("#stop");
  await page.click('#ask [value="yes"]');
  await until("the clean end", () => third.said.includes("ended: stopped on the live page"));
  await until("its end on the page", async () => !(await page.isVisible("#stop")));
  third.child.stdin.end();
  await until("the program's end", () => third.code === 0, 10);
  step("stopped cleanly");

  assert.deepEqual(faults, []);
  step("no fault in the console, no request to another machine");
  console.log("passed");
} finally {
  await browser.close();
  for (const child of programs) child.kill("SIGKILL");
  rmSync(folder, {recursive: true, force: true});
}
