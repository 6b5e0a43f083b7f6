import { join } from 'node:path';

/** The program of supervisor.ts. In a module of its own: Node can't run TypeScript, so tests put a compiled one in its place. */
export const SUPERVISOR = join(__dirname, 'supervisor.js');
