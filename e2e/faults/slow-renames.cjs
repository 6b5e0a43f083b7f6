// Loaded with --require: waits before each rename and removal, so that those of two processes would interleave if they could.
const fs = require('node:fs');

const MOST_MILLISECONDS = 10;
const clock = new Int32Array(new SharedArrayBuffer(4));
for (const name of ['renameSync', 'rmSync']) {
  const original = fs[name];
  fs[name] = (...args) => {
    Atomics.wait(clock, 0, 0, Math.random() * MOST_MILLISECONDS);
    return original(...args);
  };
}
