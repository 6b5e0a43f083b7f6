import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** An input on disk. */
export interface CorpusFile {
  name: string;
  bytes: Uint8Array;
}

/** The inputs in a folder, by name; none if there is no folder. */
export function readCorpus(folder: string): CorpusFile[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, bytes: new Uint8Array(readFileSync(join(folder, name))) }));
}

/** Generated names of inputs. */
const GENERATED_NAME = /^[0-9a-f]{16}$/;

/** Whether the input has a descriptive name: it is a regression and stays, whatever it covers. */
export const isNamed = ({ name }: CorpusFile): boolean => !GENERATED_NAME.test(name);

/** The generated name of an input. */
export const generatedName = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** Adds an input to a folder and returns its path. */
export function addToCorpus(folder: string, bytes: Uint8Array, name: string = generatedName(bytes)): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Replaces the inputs in `folder` with generated names. */
export function replaceGenerated(folder: string, kept: readonly CorpusFile[]): void {
  for (const file of readCorpus(folder)) if (!isNamed(file)) rmSync(join(folder, file.name));
  for (const file of kept) if (!isNamed(file)) addToCorpus(folder, file.bytes, file.name);
}
