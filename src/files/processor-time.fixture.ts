/**
 * Measures the processor time of this process, on all of its threads. The returned function gives the seconds since the call. Unlike the
 * time on a clock, they hardly depend on the load of the machine. For tests that check, for example, that work doesn't grow with the
 * square of its input.
 */
export function processorTime(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
}
