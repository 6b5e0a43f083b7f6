import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cleanEnvironment, run, type RunResult, runOk } from './run';
import { copyFolder, NX_ENVIRONMENT, prepareTemplate } from './template';

/** The result of a task. A task is skipped if one of its dependencies failed. */
export type TaskState = 'built' | 'hit' | 'failed' | 'skipped';

export interface WorkspaceOptions {
  /** Overrides variables of Nx's environment. */
  env?: NodeJS.ProcessEnv;
  /** A folder for Nx's cache and data, for workspaces that share them. */
  cache?: string;
  /** An empty folder, even without Nx. */
  empty?: boolean;
  /** A version of Nx, from {@link NX_VERSIONS} or another; by default the repository's. */
  nx?: string;
  /** The command that runs nx, if it isn't a program in `node_modules`. */
  run?: readonly string[];
}

/** A real Nx workspace in a temporary folder, to which the packed plugin was added in the way of a user. */
export class Workspace {
  private constructor(
    /** Absolute path. */
    readonly root: string,
    /** A folder beside the workspace. */
    readonly outside: string,
    private readonly home: string,
    private readonly env: NodeJS.ProcessEnv,
    private readonly command: readonly string[],
  ) {}

  static async create(options: WorkspaceOptions = {}): Promise<Workspace> {
    const home = mkdtempSync(join(tmpdir(), 'nx-igvm-workspace-'));
    const root = join(home, 'workspace');
    const outside = join(home, 'outside');
    mkdirSync(root);
    mkdirSync(outside);
    if (options.empty !== true) {
      const { workspace: from } = await prepareTemplate(options.nx);
      await copyFolder(join(from, 'node_modules'), join(root, 'node_modules'));
      for (const file of ['package.json', 'package-lock.json', 'nx.json', '.gitignore']) {
        copyFileSync(join(from, file), join(root, file));
      }
    }
    const cache = options.cache ?? join(home, 'cache');
    const env = {
      ...cleanEnvironment(),
      ...NX_ENVIRONMENT,
      NX_CACHE_DIRECTORY: join(cache, 'cache'),
      NX_WORKSPACE_DATA_DIRECTORY: join(cache, 'data'),
      NX_IGVM_DOWNLOADS: join(home, 'downloads'),
      ...options.env,
    };
    const workspace = new Workspace(root, outside, home, env, options.run ?? [join(root, 'node_modules/.bin/nx')]);
    await workspace.git('init', '-q', '-b', 'main');
    return workspace;
  }

  path(file: string): string {
    return join(this.root, file);
  }

  write(file: string, content: string | Uint8Array): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    writeFileSync(this.path(file), content);
    touch(this.path(file));
  }

  writeJson(file: string, value: unknown): void {
    this.write(file, `${JSON.stringify(value, null, 2)}\n`);
  }

  read(file: string): Buffer {
    return readFileSync(this.path(file));
  }

  readJson<T>(file: string): T {
    return JSON.parse(this.read(file).toString('utf8')) as T;
  }

  /** Changes a JSON file. */
  updateJson<T>(file: string, change: (json: T) => void): void {
    const json = this.readJson<T>(file);
    change(json);
    this.writeJson(file, json);
  }

  /** Copies a file or folder into the workspace. */
  copy(from: string, file: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true });
    cpSync(from, this.path(file), { recursive: true });
  }

  /** Runs nx, which may fail. */
  nx(...args: string[]): Promise<RunResult> {
    const [command, ...first] = this.command as [string, ...string[]];
    return run(command, [...first, ...args], { cwd: this.root, env: this.env });
  }

  /** Runs nx, which has to succeed, and returns its output. */
  nxOk(...args: string[]): Promise<string> {
    const [command, ...first] = this.command as [string, ...string[]];
    return runOk(command, [...first, ...args], { cwd: this.root, env: this.env });
  }

  /** Runs a task, and returns whether it was built or came from the cache. */
  async state(project: string, target = 'build'): Promise<TaskState> {
    const { output } = await this.nx('run', `${project}:${target}`, '--outputStyle=static');
    return taskState(output, `${project}:${target}`);
  }

  /** Runs one target of many projects with a single command, and returns the result of each task. */
  async states(tasks: readonly string[]): Promise<Map<string, TaskState>> {
    const [target] = tasks.map((task) => task.slice(task.lastIndexOf(':') + 1));
    const projects = tasks.map((task) => task.slice(0, task.lastIndexOf(':')));
    const { output } = await this.nx(
      'run-many',
      `--targets=${target}`,
      `--projects=${projects.join(',')}`,
      '--outputStyle=static',
      '--parallel=3',
    );
    const states = new Map(tasks.map((task) => [task, taskState(output, task)]));
    if ([...states.values()].every((state) => state === 'skipped')) throw new Error(`nx ran nothing:\n${output}`);
    return states;
  }

  git(...args: string[]): Promise<string> {
    return runOk('git', ['-c', 'user.name=e2e', '-c', 'user.email=e2e@example.invalid', ...args], {
      cwd: this.root,
      env: { ...this.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    });
  }

  async commit(message: string): Promise<void> {
    await this.git('add', '-A');
    await this.git('commit', '-q', '--allow-empty', '-m', message);
  }

  dispose(): void {
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

const HITS = ['[local cache]', '[remote cache]', '[existing outputs match the cache, left as is]'];

/** The result of a task in Nx's static output. */
export function taskState(output: string, task: string): TaskState {
  const line = output.split('\n').find((candidate) => candidate.includes('nx run ') && taskOf(candidate) === task);
  if (line === undefined) return 'skipped';
  if (HITS.some((hit) => line.includes(hit))) {
    return 'hit';
  }
  const failed = output
    .split('\n')
    .some((candidate) => /^\s*(?:-|✖)\s/.test(candidate) && candidate.trim().endsWith(task));
  return failed ? 'failed' : 'built';
}

function taskOf(line: string): string | undefined {
  return /nx run (\S+)/.exec(line)?.[1];
}

let touched = 0;

/**
 * Sets a later modification time for the same bytes, in another second. Nx 21 and 22 consider a file with a time in the same second
 * unchanged, whatever its content.
 */
export function touch(path: string): void {
  touched += 1;
  const later = Math.floor(Date.now() / 1000) + 5 + touched;
  utimesSync(path, later, later);
}
