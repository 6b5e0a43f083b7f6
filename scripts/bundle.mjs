// Bundles src into dist: an entry point is one file at the place of its source, and what several share is in dist/chunks. A small
// image is built in less time than its 150 modules take to load one by one. Nothing is minified, so that stack traces can be read.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { isOwn, lazyModules } from './lazy-modules.mjs';

/** Packages that are not part of the bundle: Nx's is the workspace's own, and the others are rarely called for. */
const EXTERNAL = [/^nx\//, '@levischuck/tiny-cbor', 'cli-progress', 'undici', 'xz-decompress'];

/** Programs that others than package.json and Nx's collections name: what a target, a thread and a boot run. */
const PROGRAMS = ['plugin/hash-files', 'executors/build-thread', 'boot/supervisor', 'measurement/hash-worker'];

/** Chunks, each of some files with all that they import and that is in no chunk before. */
const CHUNKS = {
  errors: ['errors/igvm-error'],
  // The format's constants, which the plugin needs without the rest.
  model: ['igvm/platforms'],
  // Whole, and before others, so that nx-igvm/igvm stays without what others need: Node's built-ins.
  format: ['igvm/index'],
  // What Nx loads on every command.
  paths: ['resources/resource-reference', 'resources/glob', 'manifest/image-files', 'manifest/unknown-keys'],
  // What a target's `runtime` input runs, a process for each: without Nx.
  hashing: ['plugin/hash-files', 'files/find-program'],
  // What a thread that hashes loads, of which there may be several.
  pages: ['measurement/page-hashing'],
  manifest: ['manifest/json-document'],
  run: ['cli/run'],
  // Every build shows downloads; what else commands share is only loaded with measurements.
  downloads: ['cli/commands/fetch'],
  build: ['builder/build-manifest'],
};

/** Stands for a path in dist, until it is known which file wants to know it. */
const placeholder = (path) => `dist:${path}`;

/** @throws when it isn't there: a chunk that follows no file would silently fall apart */
function fileOf(source, path) {
  const file = join(source, `${path}.ts`);
  if (!existsSync(file)) throw new Error(`scripts/bundle.mjs names ${path}, which is not in src`);
  return file;
}

/** What other files name, and what is required where it is used: files of their own, each loaded when it is called for. */
function entryPoints(source) {
  const named = ['package.json', 'executors.json', 'generators.json', 'migrations.json']
    .map((name) => readFileSync(join(source, '..', name), 'utf8'))
    .flatMap((text) => [...text.matchAll(/"(?:\.\/)?dist\/([^"*]+)"/g)])
    .map(([, path]) => path.replace(/\.js$|#.*$/, ''))
    .filter((path) => !/\.(json|d\.ts|mjs)$/.test(path));
  const lazy = Object.keys(lazyModules()).filter(isOwn);
  return [...new Set([...named, ...PROGRAMS, ...lazy])];
}

/** Keeps paths true where code moves from the place of its source to another file: of modules required late, and of its folder. */
function placesInDist(source, entries) {
  const inDist = (path) => relative(source, path);
  return {
    name: 'places-in-dist',
    resolveId: {
      order: 'pre',
      handler(id, importer, { kind }) {
        if (kind !== 'require-call' || !importer.startsWith(source) || /\/schemas\/[\w-]+\.json$/.test(id))
          return undefined;
        if (id === 'commander') return { id: placeholder('chunks/commander.js'), external: true };
        if (!id.startsWith('.')) return undefined;
        const file = inDist(resolve(dirname(importer), id));
        if (id.endsWith('.json')) return { id: placeholder(file), external: true };
        if (!entries.includes(file)) throw new Error(`${importer} requires ${id} in a form that is not looked for`);
        return { id: placeholder(`${file}.js`), external: true };
      },
    },
    transform(code, id) {
      if (!id.startsWith(source) || !code.includes('__dirname')) return undefined;
      return code.replaceAll(
        '__dirname',
        `require('node:path').join(__dirname, '${placeholder(inDist(dirname(id)))}')`,
      );
    },
    renderChunk(code, { fileName }) {
      return code.replaceAll(/(["'])dist:([^"']*)\1/g, (_, quote, path) => {
        const from = relative(dirname(fileName), path);
        return JSON.stringify(from.startsWith('.') ? from : `./${from}`);
      });
    },
  };
}

/**
 * Commander can run subcommands that are programs of their own. There are none here, and what it would start them with takes 3 ms
 * to load.
 */
const withoutProgramsOfCommander = {
  name: 'without-programs-of-commander',
  resolveId(id, importer) {
    if (id !== 'node:child_process' || !/[\\/]commander[\\/]/.test(importer ?? '')) return undefined;
    return join(dirname(importer), 'no-programs.js');
  },
  load: (id) => (id.endsWith('no-programs.js') ? 'module.exports = {};' : undefined),
};

/** Functions that the compiler adds to the code, for what it can't say otherwise. Below all others: whoever imports them has no circle. */
const helpers = { name: 'helpers', test: /^\0@oxc-project/, priority: 1000 };

/** @throws when chunks import each other: the one that is loaded second would see the first without its exports */
function checkNoCircle(output) {
  const chunks = new Map(output.flatMap((each) => (each.type === 'chunk' ? [[each.fileName, each.imports]] : [])));
  const done = new Set();
  const visit = (fileName, path) => {
    if (path.includes(fileName)) throw new Error(`chunks in a circle: ${[...path, fileName].join(' > ')}`);
    if (done.has(fileName)) return;
    for (const imported of chunks.get(fileName) ?? []) visit(imported, [...path, fileName]);
    done.add(fileName);
  };
  for (const fileName of chunks.keys()) visit(fileName, []);
}

/** What is in no other chunk is with the rest of its folder, or of its package. */
function folderOf(source, id) {
  if (id.includes('node_modules')) return id.split('node_modules/').at(-1).split('/')[0];
  if (!id.startsWith(source)) return null;
  const [folder, ...below] = relative(source, id).split('/');
  return folder === 'cli' && below.length > 1 ? 'commands' : folder;
}

async function write(options, output) {
  const build = await rolldown({
    platform: 'node',
    external: EXTERNAL,
    resolve: { mainFields: ['module', 'main'] },
    ...options,
  });
  return build.write({ format: 'cjs', exports: 'named', comments: { jsdoc: false }, ...output });
}

/** @param {string} root the folder of package.json */
export async function bundle(root) {
  const source = join(root, 'src');
  const dist = join(root, 'dist');
  const entries = entryPoints(source);
  const chunk = ([name, files], index, all) => ({
    name,
    test: (id) => files.some((file) => id === fileOf(source, file)),
    priority: all.length - index,
    includeDependenciesRecursively: true,
  });
  const folders = {
    debugName: 'folders',
    name: (id) => folderOf(source, id),
    minShareCount: 2,
    priority: 0,
    includeDependenciesRecursively: false,
  };
  const { output } = await write(
    {
      input: {
        ...Object.fromEntries(entries.map((path) => [path, fileOf(source, path)])),
        'chunks/commander': 'commander',
      },
      preserveEntrySignatures: 'allow-extension',
      plugins: [placesInDist(source, entries), withoutProgramsOfCommander],
    },
    {
      dir: dist,
      chunkFileNames: 'chunks/[name].js',
      codeSplitting: { groups: [helpers, ...Object.entries(CHUNKS).map(chunk), folders] },
    },
  );
  checkNoCircle(output);
  // For bundlers of web pages: an ES module, of which they leave out what a page doesn't use.
  await write(
    { input: join(source, 'igvm', 'index.ts'), platform: 'browser', external: [] },
    { file: join(dist, 'igvm', 'index.browser.mjs'), format: 'esm', codeSplitting: false },
  );
  // Only `npm run generate` uses it: it is not published, and must not make the chunks larger.
  await write(
    { input: join(source, 'reference', 'generated-files.ts') },
    { file: join(dist, 'reference', 'generated-files.js'), codeSplitting: false },
  );
  writeFileSync(join(dist, 'chunks', 'LICENSES.txt'), licenses(output));
}

/** The licenses of the packages in some chunks, which ask to be passed on with them. */
function licenses(chunks) {
  const folders = chunks
    .flatMap(({ moduleIds }) => moduleIds)
    .flatMap((id) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id) ?? []);
  const texts = [...new Set(folders)].map((folder) => {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
    return `${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
  return `The files in this folder contain parts of the following packages.\n\n${texts.join('\n---\n\n')}`;
}
