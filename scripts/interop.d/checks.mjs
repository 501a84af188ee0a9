// What each check printed and how many passed, in the form of a Rust test run: `.ci/run` counts both alike.

let passed = 0;
let failed = 0;
export function check(what, expectAccept, run) {
  let error;
  try { run(); } catch (e) { error = e; }
  if (expectAccept === !error) {
    passed += 1;
    console.log(`test @sigstore/verify ${what} ... ok`);
  } else {
    failed += 1;
    console.log(`test @sigstore/verify ${what} ... FAILED: ${error ?? "accepted"}`);
  }
}

export function finish() {
  console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed; 0 ignored`);
  process.exit(failed ? 1 : 0);
}
