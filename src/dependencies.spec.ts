import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');

interface Package {
  name: string;
  private?: boolean;
  workspaces?: string[];
  scripts?: Record<string, string>;
  bin?: string | Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

const readPackage = (folder: string): Package =>
  JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as Package;

const own = readPackage('.');
const WORKSPACES = own.workspaces ?? [];
const declaredBy = ({ dependencies, devDependencies, peerDependencies }: Package): Record<string, string> => ({
  ...peerDependencies,
  ...devDependencies,
  ...dependencies,
});

/** The code files below a folder of the repository, without templates, build output and installed packages. */
function codeIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ['files', 'node_modules', 'target'].includes(entry.name) ? [] : codeIn(path);
    return /\.[cm]?[jt]s$/.test(entry.name) ? [path] : [];
  });
}

const IMPORT =
  /(?:\bfrom|\bimport|\bimport\(|\brequire\(|\brequire\.resolve\()\s*'((?:@[a-z][\w.-]*\/)?[a-z][\w.-]*)(?:\/[^']*)?'/g;

/** The packages that files import, including types and late requires. */
const importsOf = (files: string[]): string[] =>
  [
    ...new Set(
      files.flatMap((file) =>
        Array.from(readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT), ([, name]) => name as string),
      ),
    ),
  ]
    .filter((name) => !builtinModules.includes(name) && name !== own.name)
    .sort();

/** The code for which the root has dependencies: what building, linting and unit tests need. */
const ROOT_CODE = [...['src', 'conformance', 'scripts'].flatMap(codeIn), 'jest.config.js'];

describe('the private npm workspaces', () => {
  it('are the fuzzer, the benchmark, the e2e tests and the mutation tests', () => {
    expect(WORKSPACES).toEqual(['bench', 'e2e', 'fuzz', 'mutation']);
  });

  it.each(WORKSPACES)('%s is private, and has no dependencies that users of the plugin would install', (folder) => {
    const manifest = readPackage(folder);
    expect(manifest).toMatchObject({ name: `@nx-igvm/${folder}`, private: true });
    expect([manifest.dependencies, manifest.peerDependencies]).toEqual([undefined, undefined]);
  });

  it.each(WORKSPACES)('%s declares what it imports', (folder) => {
    const declared = Object.keys(declaredBy(readPackage(folder)));
    expect(importsOf(codeIn(folder)).filter((name) => !declared.includes(name))).toEqual([]);
  });

  it.each(WORKSPACES)('%s uses what it declares', (folder) => {
    const declared = Object.keys(declaredBy(readPackage(folder)));
    const imported = importsOf(codeIn(folder));
    const code = codeIn(folder).map((file) => readFileSync(join(ROOT, file), 'utf8'));
    const isUsed = (name: string): boolean =>
      imported.includes(name) ||
      imported.includes(name.replace('@types/', '')) ||
      programsOf(name).some((program) => code.some((text) => text.includes(`'${program}'`))) ||
      // A plugin for an imported package.
      Object.keys(readPackage(`node_modules/${name}`).peerDependencies ?? {}).some((peer) => imported.includes(peer));
    expect(declared.filter((name) => !isUsed(name))).toEqual([]);
  });

  it.each(WORKSPACES)('%s uses the versions of the root, so they are installed only once', (folder) => {
    const root = declaredBy({ ...own, peerDependencies: {} });
    const others = Object.entries(declaredBy(readPackage(folder))).filter(
      ([name, range]) => (root[name] ?? range) !== range,
    );
    expect(others).toEqual([]);
    expect(existsSync(join(ROOT, folder, 'node_modules'))).toBe(false);
  });

  it.each(WORKSPACES)('%s loads only modules of dist that have a source', (folder) => {
    const loaded = codeIn(folder).flatMap((file) =>
      Array.from(
        readFileSync(join(ROOT, file), 'utf8').matchAll(
          /(?:from|import\(|require\()\s*'(?:\.\.\/)+dist\/([^']+)\.js'/g,
        ),
        ([, module]) => module as string,
      ),
    );
    expect(loaded.filter((module) => !existsSync(join(ROOT, 'src', `${module}.ts`)))).toEqual([]);
  });

  it('are not projects of Nx', () => {
    const ignored = readFileSync(join(ROOT, '.nxignore'), 'utf8').split('\n');
    expect(WORKSPACES.filter((folder) => !ignored.includes(folder))).toEqual([]);
  });
});

describe('the dependencies of the root', () => {
  const imported = importsOf(ROOT_CODE);

  it('include everything that its code imports', () => {
    const declared = declaredBy(own);
    expect(imported.filter((name) => !(name in declared))).toEqual([]);
  });

  it('are needed for building, linting or unit tests, not only by a workspace', () => {
    const scripts = Object.entries(own.scripts ?? {}).flatMap(([name, script]) =>
      WORKSPACES.includes(name) ? [] : script.split(/\s+/),
    );
    const config = readFileSync(join(ROOT, 'jest.config.js'), 'utf8');
    const compilerTypes = (
      JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')) as { compilerOptions: { types: string[] } }
    ).compilerOptions.types;
    const isUsed = (name: string): boolean =>
      imported.includes(name) ||
      config.includes(`'${name}'`) ||
      programsOf(name).some((program) => scripts.includes(program)) ||
      (name.startsWith('@types/') && [...imported, ...compilerTypes].includes(name.slice('@types/'.length)));
    const used = Object.keys(own.devDependencies ?? {}).filter(isUsed);
    const peers = used.flatMap((name) => Object.keys(readPackage(`node_modules/${name}`).peerDependencies ?? {}));
    const unused = Object.keys(own.devDependencies ?? {}).filter(
      (name) => !used.includes(name) && !peers.includes(name),
    );
    expect(unused).toEqual([]);
  });
});

/** The commands in a package. */
function programsOf(name: string): string[] {
  const { bin } = readPackage(`node_modules/${name}`);
  return typeof bin === 'string' ? [name.split('/').at(-1) as string] : Object.keys(bin ?? {});
}
