// Loaded with --require into a measured Node program: reports its CPU time, its peak memory and the bytes that it has read from files,
// pipes and so on when it ends.
const { readFileSync } = require('node:fs');

process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  process.send?.({
    cpu: (userCPUTime + systemCPUTime) / 1e6,
    user: userCPUTime / 1e6,
    peak: maxRSS * 1024,
    read: Number(/^rchar: (\d+)/m.exec(readFileSync('/proc/self/io', 'latin1'))[1]),
    ...process.benchFigures,
  });
});
process.channel?.unref();
