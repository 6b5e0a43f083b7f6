import { join } from 'node:path';

/**
 * The file of a program or of a thread: JavaScript beside the module that starts it. In a module of its own: Node 20 can't run
 * TypeScript, so that tests put another in its place, which compiles first (jest.config.js).
 * @param name without ending
 */
export const programFile = (folder: string, name: string): string => join(folder, `${name}.js`);
