import pc from 'picocolors';

/** Prints as Nx's own logger does, which takes a tenth of a second to load. */
export const logger = {
  info: (text: string): void => console.info(text),
  warn: (text: string): void => console.warn(pc.bold(pc.yellow(text))),
  error: (text: string): void => console.error(pc.bold(pc.red(text))),
};
