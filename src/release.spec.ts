import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const ROOT = join(__dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

interface Manifest {
  version: string;
  engines: { node: string };
  scripts: Record<string, string>;
}

const manifest = JSON.parse(read('package.json')) as Manifest;

interface Job {
  container?: string;
  permissions?: Record<string, string>;
  strategy?: { matrix: Record<string, (string | number)[]> };
  steps: { uses?: string; run?: string }[];
}

interface Workflow {
  permissions: Record<string, string>;
  jobs: Record<string, Job>;
}

const WORKFLOWS = readdirSync(join(ROOT, '.github/workflows'));
const workflow = (name: string): Workflow => parse(read(`.github/workflows/${name}`)) as Workflow;
const commandsOf = ({ jobs }: Workflow): string[] =>
  Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));

describe('the workflows', () => {
  it.each(WORKFLOWS)('%s runs only scripts of this repository', (name) => {
    const commands = commandsOf(workflow(name));
    expect(commands.length).toBeGreaterThan(0);
    const isThere = (command: string): boolean => {
      const [, script] = /^npm run (\S+)$/.exec(command) ?? [];
      if (script !== undefined) return script in manifest.scripts;
      const [, file] = /(?:^node|\bbash) (\S+)/.exec(command) ?? [];
      return file === undefined ? /^npm (?:ci|publish) /.test(command) : existsSync(join(ROOT, file));
    };
    expect(commands.filter((command) => !isThere(command))).toEqual([]);
  });

  it.each(WORKFLOWS)('%s has only read permission, and pins every action to a commit', (name) => {
    const { permissions, jobs } = workflow(name);
    expect(permissions).toEqual({ contents: 'read' });
    const actions = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ uses }) => uses ?? []));
    expect(actions.length).toBeGreaterThan(0);
    expect(actions.filter((action) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/.test(action))).toEqual([]);
  });

  it('run all tests with every supported Node on Linux, and unit tests on Windows and macOS', () => {
    const { everything, unit } = workflow('ci.yml').jobs as { everything: Job; unit: Job };
    const nodes = everything.strategy?.matrix['node'] ?? [];
    expect(nodes).toEqual([20, 22, 24, 'latest']);
    expect(manifest.engines.node).toMatch(new RegExp(`^>=${nodes[0]}\\.`));
    expect(everything.steps.at(-1)?.run).toBe('bash .ci/run');
    const systems = unit.strategy?.matrix['os'] ?? [];
    expect(systems.map((name) => String(name).split('-')[0])).toEqual(['windows', 'macos']);
  });
});

describe('.ci/run', () => {
  it('is run on Debian, whose packages and kernels it installs', () => {
    const jobs = WORKFLOWS.flatMap((name) => Object.values(workflow(name).jobs));
    const full = jobs.filter(({ steps }) => steps.some(({ run }) => run?.includes('.ci/run')));
    expect(full.length).toBe(2);
    expect(full.map(({ container }) => container)).toEqual(full.map(() => expect.stringMatching(/-bookworm$/)));
  });
});

describe('a checkout', () => {
  it('keeps the committed bytes on Windows, too', () => {
    expect(read('.gitattributes')).toMatch(/^\* -text$/m);
  });
});

describe('a release', () => {
  it('is built before it is packed or published, so a fresh clone cannot publish an empty package', () => {
    expect(manifest.scripts).toMatchObject({
      build: 'node scripts/build.mjs',
      prepack: 'node scripts/build.mjs',
      prepublishOnly: 'npm run build',
    });
  });

  it('is built only once by npm publish, which runs prepack after prepublishOnly', () => {
    const { status, stdout } = spawnSync(process.execPath, ['scripts/build.mjs'], {
      cwd: ROOT,
      env: { ...process.env, npm_command: 'publish', npm_lifecycle_event: 'prepack' },
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([0, 'not built again: prepublishOnly has built dist\n']);
  });

  it('is published with provenance, by a job without tests and install scripts', () => {
    const { test, publish } = workflow('release.yml').jobs as { test: Job; publish: Job };
    expect(publish.permissions).toEqual({ contents: 'read', 'id-token': 'write' });
    expect(test.permissions).toBeUndefined();
    const [install, publishing] = publish.steps.flatMap(({ run }) => run ?? []);
    expect(install).toMatch(/^npm ci .*--ignore-scripts/);
    expect(publishing).toMatch(/^npm publish --provenance /);
  });

  it.each([
    ['v9.9.9', 'the tag is v9.9.9'],
    ['', 'the tag is not given'],
    [manifest.version, `the tag is ${manifest.version}, and package.json has version`],
  ])('is refused for the tag %p', (tag, problem) => {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/check-release.mjs', tag], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([1, expect.stringContaining(problem)]);
  });
});

describe('the files of .github', () => {
  it('name owners for paths that exist', () => {
    const paths = read('.github/CODEOWNERS')
      .split('\n')
      .filter((line) => line.startsWith('/'))
      .map((line) => line.split(/\s/)[0] as string);
    expect(paths.length).toBeGreaterThan(3);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('update the packages of every folder that has any', () => {
    const { updates } = parse(read('.github/dependabot.yml')) as {
      updates: { 'package-ecosystem': string; directory?: string; directories?: string[] }[];
    };
    const foldersOf = (ecosystem: string): string[] =>
      updates
        .filter((update) => update['package-ecosystem'] === ecosystem)
        .flatMap(({ directory, directories = [] }) => [
          ...directories,
          ...(directory === undefined ? [] : [directory]),
        ]);
    // The root's lock file covers all npm workspaces.
    expect(foldersOf('npm')).toEqual(['/']);
    expect(foldersOf('github-actions')).toEqual(['/']);
    const rust = readdirSync(join(ROOT, 'e2e')).filter((name) => existsSync(join(ROOT, 'e2e', name, 'Cargo.toml')));
    expect(foldersOf('cargo').sort()).toEqual(rust.map((name) => `/e2e/${name}`).sort());
  });
});
