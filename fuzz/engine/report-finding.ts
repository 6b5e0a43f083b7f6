import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatedName } from './corpus';
import type { FoundInput } from './fuzzer';
import type { ReportedFinding } from './job';

/** Writes an input that breaks a rule, with the reason beside it. */
export function reportFinding(folder: string, { kind, signature, details, bytes }: FoundInput): ReportedFinding {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${kind}-${generatedName(bytes)}`);
  writeFileSync(path, bytes);
  writeFileSync(`${path}.txt`, `${signature}\n\n${details}\n`);
  return { kind, signature, details, path };
}
