// Runs the verifier of the page that bundles carry, outside of a browser: exit code 0 if everything holds, 3 if not, 2: cannot run.
//
//     node tests/format/verify_page.mjs PAGE.html BUNDLE.zip [VERIFIER_KEY [CHECKPOINT_FILE]]

import { readFileSync } from "node:fs";
import vm from "node:vm";

const [page, bundle, verifierKey = null, kept = null] = process.argv.slice(2);
if (!bundle) {
  console.error("node verify_page.mjs PAGE.html BUNDLE.zip [VERIFIER_KEY [CHECKPOINT_FILE]]");
  process.exit(2);
}
const [, script] = /<script id="verifier">([\s\S]*?)<\/script>/.exec(readFileSync(page, "utf8"));
// The page's own script, with what a browser would give it and nothing else.
const { crypto, TextEncoder, TextDecoder, atob, btoa } = globalThis;
const context = vm.createContext({ crypto, TextEncoder, TextDecoder, atob, btoa, Uint8Array });
vm.runInContext(`${script}; this.verifyBundle = verifyBundle;`, context);
const bytes = new Uint8Array(readFileSync(bundle));
const checkpoint = kept === null ? null : readFileSync(kept, "utf8");
const report = await context.verifyBundle(bytes, { verifierKey: verifierKey || null, checkpoint });
delete report.about;
console.log(JSON.stringify(report));
process.exit(report.ok ? 0 : 3);
