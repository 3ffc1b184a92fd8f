// SPDX-License-Identifier: Apache-2.0
//
// The browser of the tests.
import {execFileSync} from "node:child_process";
import {createRequire} from "node:module";
import {join, resolve} from "node:path";

export const skip = (why) => { console.log(`skipped: ${why}`); process.exit(77); };
const where = (name) => { try { return execFileSync("which", [name]).toString().trim(); } catch { return ""; } };

/** Starts Chromium by the playwright-core of that folder; ends the program with 77 where one of them is missing. */
export function launch(modules) {
  const executablePath = process.env.CHROMIUM ?? (where("chromium") || where("google-chrome"));
  if (!executablePath) skip("no chromium; scripts/bootstrap.sh browser installs it");
  let chromium;
  try { ({chromium} = createRequire(join(resolve(modules ?? "."), "x.js"))("playwright-core")); } catch { skip("no playwright-core; scripts/bootstrap.sh browser installs it"); }
  return chromium.launch({executablePath, args: ["--no-sandbox", "--disable-gpu"]});
}
