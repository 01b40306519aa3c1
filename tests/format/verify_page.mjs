// Runs the verifier of the page that bundles carry, outside of a browser: exit code 0 if everything holds, 3 if not, 2: cannot run.
//
//     node tests/format/verify_page.mjs PAGE.html BUNDLE.zip [VERIFIER_KEY [CHECKPOINT_FILE]]

import { readFileSync } from "node:fs";

const [page, bundle, verifierKey = "", kept = null] = process.argv.slice(2);
if (!bundle) {
  console.error("node verify_page.mjs PAGE.html BUNDLE.zip [VERIFIER_KEY [CHECKPOINT_FILE]]");
  process.exit(2);
}
// The page's own script: up to the screen it is functions of bytes, and without a document it shows nothing.
const [, script] = /<script>([\s\S]*?)<\/script>/.exec(readFileSync(page, "utf8"));
const verifyBundle = new Function(`${script}; return verifyBundle;`)();
const checkpoint = kept === null ? "" : readFileSync(kept, "utf8");
try {
  const report = await verifyBundle(new Uint8Array(readFileSync(bundle)), { verifierKey, checkpoint });
  console.log(JSON.stringify(report));
  process.exit(report.ok ? 0 : 3);
} catch (error) {
  console.error(error.message);
  process.exit(2);
}
