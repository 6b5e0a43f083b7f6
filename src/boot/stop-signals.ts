/** Signals that end a run, and with it the VM, rather than this process. */
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Whether a run is to end, and why. */
export interface Stop {
  /** Aborted by a signal to this process, or by the caller's. */
  readonly signal: AbortSignal;
  /** The signal to this process, if that was it. */
  readonly name: () => NodeJS.Signals | undefined;
  /** From then on signals do what they did before. */
  readonly release: () => void;
}

/**
 * Takes SIGINT, SIGTERM and SIGHUP until it is released: whoever works for a run looks at one AbortSignal.
 * @param outer ends the run, too
 */
export function stopOnSignals(outer?: AbortSignal): Stop {
  const controller = new AbortController();
  let caught: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    caught ??= name;
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: outer === undefined ? controller.signal : AbortSignal.any([controller.signal, outer]),
    name: () => caught,
    release: () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}
