// Bundles src into dist: an entry point is one file at the place of its source, and shared code is in dist/chunks. Building a small
// image takes less time than loading its 200 modules (ours and those of packages) one by one. Nothing is minified, so that stack
// traces are readable.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { isOwn, lazyModules } from './lazy-modules.mjs';

/** Packages outside the bundle: Nx is the workspace's own, and the others are rarely needed. */
const EXTERNAL = [/^nx\//, '@levischuck/tiny-cbor', 'cli-progress', 'undici', 'xz-decompress'];

/** Entry points that neither package.json nor Nx's collections name: programs of targets, threads and boots. */
const PROGRAMS = ['plugin/hash-files', 'executors/build-thread', 'boot/supervisor', 'measurement/hash-worker'];

/** Chunks. Each has some files and all their imports that are in no earlier chunk. */
const CHUNKS = {
  errors: ['errors/igvm-error'],
  // The format's constants, which the plugin needs without the rest.
  model: ['igvm/platforms'],
  // Complete, and before others, so that nx-igvm/igvm stays free of Node's modules, which others need.
  format: ['igvm/index'],
  // Messages about files, which `--version` needs without the rest.
  failures: ['files/file-failure'],
  // Code that Nx loads for every command.
  paths: ['resources/resource-reference', 'resources/glob', 'manifest/image-files', 'manifest/unknown-keys'],
  // Code that a target's `runtime` input runs, in a process for each, without Nx.
  hashing: ['plugin/hash-files', 'files/find-program'],
  // Code that each hashing thread loads.
  pages: ['measurement/page-hashing'],
  manifest: ['manifest/json-document'],
  run: ['cli/programs'],
  // Every build shows downloads; what else commands share is only loaded with measurements.
  downloads: ['cli/commands/fetch'],
  build: ['builder/build-manifest', 'builder/build-report', 'memory/struct-writer'],
  // Documents beside an image, which a build writes but doesn't sign.
  documents: ['endorsement/corim', 'endorsement/guest-documents'],
  // Hashes pages, and so loads worker threads; only images of paravisors need it.
  paravisor: ['loader/guest/paravisor-pages'],
};

/** A placeholder for a path in dist, until the file that uses it is known. */
const placeholder = (path) => `dist:${path}`;

/** A relative path with slashes, on Windows as well. */
const slashed = (from, to) => relative(from, to).replaceAll('\\', '/');

/** The path of a module in src, or undefined if it is elsewhere. */
function pathInSource(source, id) {
  const path = slashed(source, id);
  return path.startsWith('../') || isAbsolute(path) ? undefined : path;
}

/** @throws if the file is missing: its chunk would silently fall apart */
function fileOf(source, path) {
  const file = join(source, `${path}.ts`);
  if (!existsSync(file)) throw new Error(`scripts/bundle.mjs names ${path}, which is not in src`);
  return file;
}

/** Modules that other files name or load late: separate files, each loaded when it is needed. */
function entryPoints(source) {
  const named = ['package.json', 'executors.json', 'generators.json', 'migrations.json']
    .map((name) => readFileSync(join(source, '..', name), 'utf8'))
    .flatMap((text) => [...text.matchAll(/"(?:\.\/)?dist\/([^"*]+)"/g)])
    .map(([, path]) => path.replace(/\.js$|#.*$/, ''))
    .filter((path) => !/\.(json|d\.ts|mjs)$/.test(path));
  const lazy = Object.keys(lazyModules()).filter(isOwn);
  return [...new Set([...named, ...PROGRAMS, ...lazy])];
}

/** Adjusts paths of late modules and of the folder in code that moves from the place of its source to another file. */
function placesInDist(source, entries) {
  const inDist = (path) => slashed(source, path);
  return {
    name: 'places-in-dist',
    resolveId: {
      order: 'pre',
      handler(id, importer, { kind }) {
        if (
          kind !== 'require-call' ||
          pathInSource(source, importer) === undefined ||
          /\/schemas\/[\w-]+\.json$/.test(id)
        )
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
      if (pathInSource(source, id) === undefined || !code.includes('__dirname')) return undefined;
      return code.replaceAll(
        '__dirname',
        `require('node:path').join(__dirname, '${placeholder(inDist(dirname(id)))}')`,
      );
    },
    renderChunk(code, { fileName }) {
      return code.replaceAll(/(["'])dist:([^"']*)\1/g, (_, quote, path) => {
        const from = slashed(dirname(fileName), path);
        return JSON.stringify(from.startsWith('.') ? from : `./${from}`);
      });
    },
  };
}

/**
 * Commander can run subcommands that are separate programs. There are none here, and the code for starting them takes 3 ms to load.
 */
const withoutProgramsOfCommander = {
  name: 'without-programs-of-commander',
  resolveId(id, importer) {
    if (id !== 'node:child_process' || !/[\\/]commander[\\/]/.test(importer ?? '')) return undefined;
    return join(dirname(importer), 'no-programs.js');
  },
  load: (id) => (id.endsWith('no-programs.js') ? 'module.exports = {};' : undefined),
};

/** An export as the bundler writes it: a function that returns the variable. All are at the end of a chunk. */
const GETTER =
  /Object\.defineProperty\(exports, "([\w$]+)", \{\n\tenumerable: true,\n\tget: function\(\) \{\n\t\treturn ([\w$]+);\n\t\}\n\}\);/g;

/**
 * Makes exports plain values, by which a small build takes 1 ms less. Functions that return them are only needed for variables that
 * change and for chunks in a circle.
 */
const plainExports = {
  name: 'plain-exports',
  generateBundle(_, output) {
    for (const chunk of Object.values(output).filter(({ type }) => type === 'chunk')) {
      const { code } = chunk;
      const isConstant = (name) =>
        new RegExp(`^(const|(async )?function\\*?|class|var) ${name.replaceAll('$', '\\$')}\\b`, 'm').test(code);
      chunk.code = code.replaceAll(GETTER, (getter, name, local) =>
        isConstant(local) ? `exports.${name} = ${local};` : getter,
      );
    }
  },
};

/** Helper functions that the compiler adds. They are below all others, so importing them causes no cycle. */
const helpers = { name: 'helpers', test: /^\0@oxc-project/, priority: 1000 };

/** @throws if chunks import each other: the one that is loaded second would see the first without its exports */
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

/** Folders of src/loader that a Linux image without a paravisor needs nothing of. */
const RARE_LOADERS = ['openhcl', 'ovmf', 'uefi'];

/** Modules in no other chunk are grouped by folder or package. */
function folderOf(source, id) {
  if (id.includes('node_modules'))
    return id
      .split(/node_modules[\\/]/)
      .at(-1)
      .split(/[\\/]/)[0];
  const path = pathInSource(source, id);
  if (path === undefined) return null;
  const [folder, ...below] = path.split('/');
  if (below.length === 1) return folder;
  return folder === 'cli' ? 'commands' : folder === 'loader' && RARE_LOADERS.includes(below[0]) ? below[0] : folder;
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
      plugins: [placesInDist(source, entries), withoutProgramsOfCommander, plainExports],
    },
    {
      dir: dist,
      chunkFileNames: 'chunks/[name].js',
      codeSplitting: { groups: [helpers, ...Object.entries(CHUNKS).map(chunk), folders] },
    },
  );
  checkNoCircle(output);
  // For bundlers of web pages: an ES module, from which they drop unused code.
  await write(
    { input: join(source, 'igvm', 'index.ts'), platform: 'browser', external: [] },
    { file: join(dist, 'igvm', 'index.browser.mjs'), format: 'esm', codeSplitting: false },
  );
  // Only `npm run generate` uses it. It is not published and must not enlarge the chunks.
  await write(
    { input: join(source, 'reference', 'generated-files.ts') },
    { file: join(dist, 'reference', 'generated-files.js'), codeSplitting: false },
  );
  writeFileSync(join(dist, 'chunks', 'LICENSES.txt'), licenses(output));
}

/** The licenses of the packages in chunks, which have to be distributed with them. */
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
