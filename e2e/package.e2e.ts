import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ERROR_CODES } from '../src/errors/codes';
import { runOk } from './harness/run';
import { REPOSITORY, template } from './harness/template';

/** The part of package.json that the tests use. */
interface Manifest {
  version: string;
  engines: { node: string };
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  scripts: Record<string, string>;
  [field: string]: unknown;
}

let folder: string;
let tarball: string;
/** Paths in the tarball, below `package/`. */
let files: string[];
let manifest: Manifest;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-package-'));
  await runOk('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: REPOSITORY });
  tarball = join(folder, readdirSync(folder).find((file) => file.endsWith('.tgz')) as string);
  await runOk('tar', ['-xzf', tarball], { cwd: folder });
  const packed = join(folder, 'package');
  files = readdirSync(packed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(packed.length + 1));
  manifest = JSON.parse(readFileSync(join(packed, 'package.json'), 'utf8')) as Manifest;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const packedText = (file: string): string => readFileSync(join(folder, 'package', file), 'utf8');
const tool = (name: string, ...args: string[]): Promise<string> =>
  runOk(join(REPOSITORY, 'node_modules', '.bin', name), args, { cwd: folder });

describe('the packed plugin', () => {
  it('contains only files that Nx, Node, editors or people read', () => {
    expect([...new Set(files.map((file) => file.split('/')[0] ?? ''))].sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist',
      'docs',
      'executors.json',
      'generators.json',
      'migrations.json',
      'package.json',
      'schemas',
    ]);
    const kinds = [
      /^dist\/.*\.(?:js|d\.ts)$/,
      // For bundlers of web pages.
      /^dist\/igvm\/index\.browser\.mjs$/,
      // The licenses of bundled packages.
      /^dist\/chunks\/LICENSES\.txt$/,
      /^dist\/(?:executors\/schemas\/[^/]+|generators\/[^/]+\/schema)\.json$/,
      /^dist\/generators\/[^/]+\/files\/.*\.template$/,
      /^docs\/(?:[^/]+\/)?[^/]+\.md$/,
      // The README shows it.
      /^docs\/inspect\.png$/,
      /^schemas\/[^/]+\.schema\.json$/,
      /^[^/]+$/,
    ];
    expect(files.filter((file) => !kinds.some((kind) => kind.test(file)))).toEqual([]);
    expect(files.filter((file) => /\.(?:spec|fixture|e2e)\./.test(file))).toEqual([]);
    // Files that can't be imported have no types.
    expect(files.filter((file) => /^dist\/(?:cli|executors|generators|reference)\/.*\.d\.ts$/.test(file))).toEqual([]);
  });

  it('has every page that messages or other pages link to', () => {
    const ofMessages = Object.values(ERROR_CODES)
      .flatMap(({ cause, cure }) => [cause, cure])
      .flatMap((text) => text.match(/docs\/[\w./-]*\w/g) ?? []);
    expect(ofMessages.length).toBeGreaterThan(0);
    const ofPages = files
      .filter((file) => /^docs\/.*\.md$/.test(file))
      .flatMap((page) =>
        [...packedText(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => join(dirname(page), link)),
      );
    expect(ofPages.length).toBeGreaterThan(0);
    const has = (path: string): boolean => files.some((file) => file === path || file.startsWith(`${path}/`));
    expect([...ofMessages, ...ofPages].filter((path) => !has(path))).toEqual([]);
  });

  it('satisfies publint', async () => {
    expect(await tool('publint', 'run', tarball, '--strict')).toContain('All good!');
  });

  it('has types that every kind of module resolution finds', async () => {
    const { problems } = JSON.parse(await tool('attw', tarball, '--format', 'json')) as { problems: object };
    expect(problems).toEqual({});
  });

  it('states its purpose, origin and requirements', () => {
    expect(manifest).toMatchObject({
      name: 'nx-igvm',
      license: 'MIT',
      description: expect.stringContaining('IGVM') as string,
      keywords: expect.arrayContaining(['nx', 'nx-plugin', 'igvm']) as string[],
      repository: { type: 'git', url: expect.stringMatching(/^git\+https:.*\.git$/) as string },
      homepage: expect.stringMatching(/^https:/) as string,
      bugs: expect.stringMatching(/^https:/) as string,
      engines: { node: '>=20.19' },
    });
    expect(packedText('LICENSE')).toMatch(/^MIT License/);
    expect(packedText('CHANGELOG.md')).toContain(`\n## ${manifest.version}`);
  });

  it('has no install scripts', () => {
    const installing = /install|prepare|postpack|^prepublish$/;
    expect(Object.keys(manifest.scripts).filter((name) => installing.test(name))).toEqual([]);
    expect(files.filter((file) => /binding\.gyp|\.node$/.test(file))).toEqual([]);
  });

  it('depends on and bundles only packages that docs/architecture.md explains', () => {
    const architecture = readFileSync(join(REPOSITORY, 'docs', 'architecture.md'), 'utf8');
    const namedBelow = (heading: string): string[] => {
      const [, section = ''] = architecture.split(`## ${heading}\n`);
      const [table = ''] = section.split('\n## ');
      return [...table.matchAll(/^\| `([^`]+)` \| .+ \|$/gm)].map(([, name = '']) => name).sort();
    };
    const needed = { ...manifest.dependencies, ...manifest.peerDependencies };
    expect(namedBelow('Run-time dependencies')).toEqual(Object.keys(needed).sort());
    const [, ...licenses] = packedText('dist/chunks/LICENSES.txt').split(/packages\.\n\n|\n---\n\n/);
    expect(namedBelow('Bundled packages')).toEqual(licenses.map((text) => text.slice(0, text.indexOf('\n'))).sort());
  });

  it('loads only its own files and dependencies', () => {
    const required = files
      .filter((file) => /\.m?js$/.test(file))
      .flatMap((file) => [...packedText(file).matchAll(/\b(?:require\(|from )["']([^."'][^"']*)["']/g)])
      .map(([, name = '']) => name)
      .filter((name) => !isBuiltin(name));
    const isPeer = (name: string): boolean => name === 'nx/src/devkit-exports' && 'nx' in manifest.peerDependencies;
    expect([...new Set(required)].filter((name) => !(name in manifest.dependencies) && !isPeer(name))).toEqual([]);
  });

  it('loads without output, whichever module is loaded first', async () => {
    const installed = join(template().workspace, 'node_modules', 'nx-igvm');
    // Programs, which are the commands and the process that starts a VMM, are not loaded.
    const isProgram = (file: string): boolean =>
      file === 'dist/boot/supervisor.js' || packedText(file).startsWith('#!');
    const code = files.filter((file) => /^dist\/.*\.js$/.test(file) && !isProgram(file));
    // Each module separately, because an import cycle only fails from some of its entry points.
    const program = `
      const { spawnSync } = require('node:child_process');
      for (const file of process.argv.slice(1)) {
        const { stderr } = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file]);
        if (stderr.length > 0) console.log(file, String(stderr));
      }`;
    expect(code.length).toBeGreaterThan(50);
    expect(await runOk('node', ['-e', program, ...code.map((file) => join(installed, file))], { cwd: folder })).toBe(
      '',
    );
  });

  it('loads none of Node’s modules for the format library', async () => {
    const program = `
      const Module = require('node:module');
      const { _load } = Module;
      Module._load = (request, ...more) => {
        if (Module.isBuiltin(request)) console.log(request);
        return _load(request, ...more);
      };
      require('nx-igvm/igvm');`;
    expect(await runOk('node', ['-e', program], { cwd: template().workspace })).toBe('');
  });

  it('installs no deprecated packages', () => {
    const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean; link?: boolean; deprecated?: string }>;
    };
    const brought = Object.entries(lock.packages).filter(
      ([path, { dev, link }]) => path.startsWith('node_modules/') && dev !== true && link !== true,
    );
    expect(brought.length).toBeGreaterThanOrEqual(Object.keys(manifest.dependencies).length);
    expect(brought.filter(([, { deprecated }]) => deprecated !== undefined)).toEqual([]);
  });
});

/** Uses each entry point of the package in a way that only its real types allow. */
const USER = `
import { createNodes, type PluginOptions } from 'nx-igvm';
import { IgvmError, launchesOf, measure, readIgvm, writeIgvm, type Measurement } from 'nx-igvm/api';
const options: PluginOptions = {};
export const glob: string = createNodes[0];
export const measurements: Promise<Measurement[]> = measure(readIgvm('image.igvm'), { launches: launchesOf({ vmm: 'qemu-kvm' }) });
export const size: Promise<number> = writeIgvm(readIgvm(new Uint8Array()), 'copy.igvm').then((report) => report.fileSize);
export const code: string = new IgvmError('IGVM_MALFORMED', 'broken').code;
// @ts-expect-error there is no such VMM
void measure(readIgvm('image.igvm'), { launches: [{ vmm: 'xen' }] });
export default options;
`;

/** Uses only the format, without Node's types. */
const BROWSER_USER = `
import { bytesSource, memorySink, PLATFORM_TYPE, readIgvm, writeIgvm, type Directive, type IgvmFile } from 'nx-igvm/igvm';
const file: IgvmFile = readIgvm(bytesSource(new Uint8Array()));
export const types: Directive['type'][] = file.directives.map(({ type }) => type);
export const isSnp: boolean = file.platforms.some(({ platformType }) => platformType === PLATFORM_TYPE.SEV_SNP);
export const written = writeIgvm(file, memorySink(), { crc32: () => 0, sha256Hex: () => '' });
`;

describe('the types of the packed plugin', () => {
  const resolutions = {
    'node16, in a CommonJS package': { module: 'node16', moduleResolution: 'node16', type: 'commonjs' },
    'node16, in an ES module package': { module: 'node16', moduleResolution: 'node16', type: 'module' },
    bundler: { module: 'esnext', moduleResolution: 'bundler', type: 'module' },
    'node10, which many workspaces still have': {
      module: 'commonjs',
      moduleResolution: 'node10',
      type: 'commonjs',
      ignoreDeprecations: '6.0',
    },
  };

  it.each(Object.entries(resolutions))('serve a program with the resolution %s', async (name, { type, ...options }) => {
    const consumer = join(folder, name.replace(/\W+/g, '-'));
    mkdirSync(join(consumer, 'node_modules'), { recursive: true });
    symlinkSync(join(template().workspace, 'node_modules', 'nx-igvm'), join(consumer, 'node_modules', 'nx-igvm'));
    const compile = async (program: string, more: object): Promise<void> => {
      const project = join(consumer, `${program}.json`);
      const compilerOptions = { ...options, strict: true, noEmit: true, target: 'ES2022', lib: ['ES2022'], ...more };
      writeFileSync(project, JSON.stringify({ compilerOptions, files: [`${program}.ts`] }));
      await tool('tsc', '-p', project);
    };
    writeFileSync(join(consumer, 'package.json'), JSON.stringify({ type }));
    writeFileSync(join(consumer, 'user.ts'), USER);
    writeFileSync(join(consumer, 'browser-user.ts'), BROWSER_USER);
    // The types of Nx itself don't compile without it.
    const typeRoots = [join(REPOSITORY, 'node_modules', '@types')];
    await compile('user', { types: ['node'], typeRoots, skipLibCheck: true });
    await compile('browser-user', { types: [], skipLibCheck: false });
  });
});
