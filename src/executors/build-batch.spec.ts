import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Task, TaskGraph } from '@nx/devkit';
import buildBatch, { BatchSchedule } from './build-batch';
import type { BuildContext, BuildTaskOptions } from './build';
import type * as BuildThread from './build-thread';
import { type BatchTask, type BatchTaskResult, buildTask } from './build-thread';
import { contextIn } from './executor-context.fixture';

/** Counts of threads: all that were started, those that have died, and those that are still to die on their first image. */
const mockDying = { started: 0, dead: 0, left: 0 };

// Node can't load a thread's TypeScript; the e2e tests have real threads.
jest.mock('./build-thread', () => ({
  ...jest.requireActual<typeof BuildThread>('./build-thread'),
  ThreadBuilder: class {
    isDead = false;
    private readonly dies = mockDying.left-- > 0;
    constructor(private readonly context: BuildContext) {
      mockDying.started++;
    }
    async build(task: BatchTask): Promise<BatchTaskResult> {
      if (!this.dies) return buildTask(task, this.context);
      if (!this.isDead) mockDying.dead++;
      this.isDead = true;
      return { success: false, terminalOutput: 'the thread has died\n' };
    }
    async close() {}
  },
}));

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nx-igvm-batch-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** @param dependencies of each task */
function graphOf(dependencies: Record<string, string[]>): TaskGraph {
  const names = Object.keys(dependencies);
  const task = (id: string): Task => ({
    cache: true,
    id,
    target: { project: id, target: 'build' },
    overrides: {},
    outputs: [],
    parallelism: true,
  });
  return {
    tasks: Object.fromEntries(names.map((name) => [name, task(name)])),
    dependencies: Object.fromEntries(names.map((name) => [name, dependencies[name]!.map((id) => ({ id }))])),
    continuousDependencies: Object.fromEntries(names.map((name) => [name, []])),
    roots: names.filter((name) => dependencies[name]!.length === 0),
  };
}

const context = () => contextIn(root);

/** An image without guest memory. With a wrong `vtl`, it can't be built. */
function writeImage(name: string, vtl = 2, more: object = {}): void {
  const guest = { guest_svn: 1, max_vtl: vtl, isolation_type: { vbs: { enable_debug: false } }, image: 'none' };
  mkdirSync(join(root, name));
  writeFileSync(join(root, name, 'igvm.json'), JSON.stringify({ guest_arch: 'x64', guest_configs: [guest], ...more }));
}

async function run(
  dependencies: Record<string, string[]>,
  options: Record<string, BuildTaskOptions> = {},
): Promise<Map<string, BatchTaskResult>> {
  const manifests = Object.keys(dependencies).map((name) => [name, { manifest: `${name}/igvm.json` }] as const);
  const all = { ...Object.fromEntries(manifests), ...options };
  const results = new Map<string, BatchTaskResult>();
  for await (const { task, result } of buildBatch(graphOf(dependencies), all, { manifest: '' }, context())) {
    expect(results.has(task)).toBe(false);
    results.set(task, result);
  }
  return results;
}

const built = (name: string): boolean => existsSync(join(root, 'dist', name, `${name}.igvm`));

describe('a batch of nx-igvm:build', () => {
  it('builds every image, each with its own report', async () => {
    for (const name of ['a', 'b', 'c']) writeImage(name);
    const results = await run({ a: [], b: [], c: [] });
    expect([...results.keys()].sort()).toEqual(['a', 'b', 'c']);
    for (const [name, { success, terminalOutput, startTime, endTime }] of results) {
      expect({ name, success, built: built(name) }).toEqual({ name, success: true, built: true });
      expect(terminalOutput).toMatch(new RegExp(`^dist/${name}/${name}\\.igvm: [\\d,]+ bytes\n`));
      expect(terminalOutput.match(/\.igvm: /g)).toHaveLength(1);
      expect(startTime).toBeLessThanOrEqual(endTime!);
    }
  });

  it('fails one image with a mistake, and builds the others', async () => {
    writeImage('wrong', 77);
    writeImage('right');
    const results = await run({ wrong: [], missing: [], right: [] });
    expect(results.get('wrong')).toMatchObject({ success: false });
    expect(results.get('wrong')?.terminalOutput).toMatch(/^wrong\/igvm\.json:1:\d+: .*\[MANIFEST_INVALID\]/);
    expect(results.get('missing')?.terminalOutput).toContain('[FILE_UNREADABLE]');
    expect(results.get('right')?.success).toBe(true);
    expect(built('right')).toBe(true);
  });

  it('skips everything that depends on a failed image, directly or not', async () => {
    writeImage('wrong', 77);
    for (const name of ['near', 'far', 'apart']) writeImage(name);
    const results = await run({ far: ['near'], near: ['wrong'], wrong: [], apart: [] });
    expect(Object.fromEntries([...results].map(([name, { status, success }]) => [name, status ?? success]))).toEqual({
      wrong: false,
      near: 'skipped',
      far: 'skipped',
      apart: true,
    });
    expect(built('near') || built('far')).toBe(false);
  });

  it('refuses wrong options of one task, and builds the others', async () => {
    writeImage('right');
    const options = {
      unknown: { manifest: 'right/igvm.json', outputpath: 'out' },
      missing: {} as BuildTaskOptions,
      wrong: { manifest: 1 as unknown as string },
    };
    const results = await run({ unknown: [], missing: [], wrong: [], right: [] }, options);
    const outputOf = (task: string): string | undefined => results.get(task)?.terminalOutput.split('\n')[0];
    expect(outputOf('unknown')).toBe(
      'nx-igvm:build has no option "outputpath"; did you mean "outputPath"? [NX_OPTION_INVALID]',
    );
    expect(outputOf('missing')).toBe('nx-igvm:build needs the option "manifest" [NX_OPTION_INVALID]');
    expect(outputOf('wrong')).toBe('nx-igvm:build takes a string for the option "manifest", not 1 [NX_OPTION_INVALID]');
    expect(results.get('right')?.success).toBe(true);
  });

  it('goes on after a bug in one build', async () => {
    writeImage('right');
    const bug = Object.defineProperty({ manifest: 'bug/igvm.json' }, 'strict', {
      enumerable: true,
      get: () => {
        throw new RangeError('a bug');
      },
    });
    const results = await run({ bug: [], right: [] }, { bug });
    expect(results.get('bug')).toMatchObject({ success: false, terminalOutput: expect.stringContaining('RangeError') });
    expect(results.get('right')?.success).toBe(true);
  });

  it('loses only one image when a thread dies, and starts another thread', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    for (const name of names) writeImage(name);
    Object.assign(mockDying, { started: 0, dead: 0, left: 1 });
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    try {
      const results: [string, boolean][] = [];
      const options = Object.fromEntries(names.map((name) => [name, { manifest: `${name}/igvm.json` }]));
      const graph = graphOf(Object.fromEntries(names.map((name) => [name, []])));
      const batch = buildBatch(graph, options, { manifest: '' }, context());
      for (;;) {
        const next = batch.next();
        // Before each result, time for a thread to join.
        jest.advanceTimersByTime(300);
        const { value, done } = await next;
        if (done === true) break;
        results.push([value.task, value.result.success]);
      }
      expect(results).toHaveLength(names.length);
      expect(results.filter(([, success]) => !success)).toHaveLength(1);
      expect(mockDying.dead).toBe(1);
      expect(mockDying.started).toBeGreaterThan(1);
    } finally {
      jest.useRealTimers();
    }
  });

  it('gives warnings and errors to the task that they concern', async () => {
    writeImage('a');
    writeImage('b', 2, { guest_archs: 1 });
    const results = await run({ a: [], b: [] });
    expect(results.get('a')?.terminalOutput).not.toContain('guest_archs');
    expect(results.get('b')?.terminalOutput).toContain('guest_archs');
  });
});

describe('BatchSchedule', () => {
  it.each([
    ['Nx 21 and 22', ['a']],
    ['later versions', [{ id: 'a' }]],
  ])('reads dependencies in the form of %s', async (_, dependencies) => {
    const graph = graphOf({ a: [], b: [] });
    graph.dependencies['b'] = dependencies as { id: string }[];
    const schedule = new BatchSchedule(graph);
    expect(schedule.blockersOf('b')).toEqual(['a']);
    expect(await schedule.next()).toBe('a');
    expect(schedule.hasReady()).toBe(false);
    schedule.finish('a', true);
    expect(await schedule.next()).toBe('b');
  });

  it('returns a task when its dependencies are done', async () => {
    const schedule = new BatchSchedule(graphOf({ last: ['first', 'second', 'outside'], first: [], second: ['first'] }));
    expect(await schedule.next()).toBe('first');
    expect(schedule.hasReady()).toBe(false);
    const next = schedule.next();
    expect(schedule.finish('first', true)).toEqual([]);
    expect(await next).toBe('second');
    const last = schedule.next();
    const none = schedule.next();
    schedule.finish('second', true);
    expect(await last).toBe('last');
    expect(await none).toBeUndefined();
  });

  it('ends all who wait when a failure leaves nothing to do', async () => {
    const schedule = new BatchSchedule(graphOf({ first: [], last: ['first'] }));
    await schedule.next();
    const waiting = schedule.next();
    expect(schedule.finish('first', false)).toEqual(['last']);
    expect(await waiting).toBeUndefined();
  });
});
