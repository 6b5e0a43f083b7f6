// Loaded with --require: ends the process as `kill -9` does, just before it renames or removes a file for the STOP_AT-th time.
const fs = require('node:fs');

let left = Number(process.env.STOP_AT);
for (const name of ['renameSync', 'rmSync']) {
  const original = fs[name];
  fs[name] = (...args) => {
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
    return original(...args);
  };
}
