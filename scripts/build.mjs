// `npm run build`: writes declarations, the bundle, and the remaining files (schemas of executors and generators, templates) to dist.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';
import { pruneTypes } from './prune-types.mjs';

// `npm publish` runs prepublishOnly and then prepack. Other commands, such as `npm pack`, run only prepack.
if (process.env.npm_command === 'publish' && process.env.npm_lifecycle_event === 'prepack') {
  console.log('not built again: prepublishOnly has built dist');
  process.exit();
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')], {
  stdio: 'inherit',
});
pruneTypes(root);
await bundle(root);

const asset =
  /(?:^|[\\/])schema\.json$|executors[\\/]schemas[\\/][^\\/]+\.json$|[\\/]generators[\\/][^\\/]+[\\/]files[\\/]/;
cpSync(join(root, 'src'), join(root, 'dist'), {
  recursive: true,
  filter: (source) => !/\.[a-zA-Z]+$/.test(source) || asset.test(source),
});
for (const bin of ['nx-igvm', 'igvmfilegen', 'igvminspect']) {
  const file = join(root, 'dist', 'cli', `${bin}.js`);
  if (existsSync(file)) chmodSync(file, 0o755);
}
