import { join } from 'node:path';

/**
 * The file of a program or of a thread: JavaScript beside the module that starts it. This function has its own module because tests
 * replace it: Node 20 can't run TypeScript, so they compile the file first (jest.config.js).
 * @param name without an extension
 */
export const programFile = (folder: string, name: string): string => join(folder, `${name}.js`);
