/**
 * Begins to count the processor time of this process, on all of its threads; the function that is returned tells the seconds
 * since. Unlike the time on a clock, it hardly depends on what else the machine does. For tests that some work doesn't grow
 * with the square of its input, and the like.
 */
export function processorTime(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
}
