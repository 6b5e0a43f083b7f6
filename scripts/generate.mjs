// `npm run generate`: writes the JSON Schemas and reference pages from the source. Needs a build in dist.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const { generatedFiles } = require(join(root, 'dist', 'reference', 'generated-files.js'));

const files = generatedFiles(root);
for (const [path, content] of Object.entries(files)) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}
execFileSync(
  process.execPath,
  [require.resolve('@biomejs/biome/bin/biome'), 'format', '--write', '--log-level=error', 'schemas'],
  { cwd: root, stdio: 'inherit' },
);
console.log(`${Object.keys(files).length} files are up to date`);
