// Loaded with --require into a measured Node program: reports its CPU time and peak memory when it ends.
process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  process.send?.({
    cpu: (userCPUTime + systemCPUTime) / 1e6,
    user: userCPUTime / 1e6,
    peak: maxRSS * 1024,
    ...process.benchFigures,
  });
});
process.channel?.unref();
