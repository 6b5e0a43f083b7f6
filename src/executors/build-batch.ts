import { availableParallelism } from 'node:os';
import type { ExecutorContext, TaskGraph } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';
import { checkBatch } from './check-target';
import type { BuildTaskOptions } from './build';
import { type BatchTask, type BatchTaskResult, buildTask, SKIPPED, ThreadBuilder } from './build-thread';

/** Milliseconds after which a batch with waiting images gets one more thread. Starting one takes about 150 ms. */
const THREAD_AFTER = 300;

/** With more concurrent images, the disk is the bottleneck. */
const MOST_AT_ONCE = 8;

type Build = (task: BatchTask) => Promise<BatchTaskResult>;

interface TaskDone {
  task: string;
  result: BatchTaskResult;
}

/**
 * Builds all images of a batch in one process, which saves starting Node for each. Small images are built before a thread would have
 * started. For larger ones, threads join one after the other.
 */
export default async function* buildBatch(
  graph: TaskGraph,
  options: Record<string, BuildTaskOptions>,
  _overrides: BuildTaskOptions,
  context: ExecutorContext,
): AsyncGenerator<TaskDone> {
  const schedule = new BatchSchedule(graph);
  const results = new Results();
  const threads: ThreadBuilder[] = [];

  const refusal = (task: string): BatchTaskResult | undefined => {
    const blockers = schedule.blockersOf(task).map((id) => graph.tasks[id]!);
    return refused(() => checkBatch(context, graph.tasks[task]!.target, blockers));
  };
  let running = 0;
  const lane = async (build: Build, isDead = () => false): Promise<void> => {
    running++;
    // A dead thread would fail one image after the other, before others can build them.
    while (!isDead()) {
      const task = await schedule.next();
      if (task === undefined) break;
      const { target } = graph.tasks[task]!;
      const result = refusal(task) ?? (await build({ options: options[task]!, target }));
      results.add({ task, result });
      for (const skipped of schedule.finish(task, result.success)) results.add({ task: skipped, result: SKIPPED });
    }
    running--;
  };
  void lane((task) => buildTask(task, context));
  const timer = setInterval(() => {
    if (!schedule.hasReady() || running >= Math.min(MOST_AT_ONCE, Math.max(2, availableParallelism()))) return;
    const thread = new ThreadBuilder(context);
    threads.push(thread);
    void lane(
      (task) => thread.build(task),
      () => thread.isDead,
    );
  }, THREAD_AFTER);
  try {
    for (let left = Object.keys(graph.tasks).length; left > 0; left--) yield await results.next();
  } finally {
    clearInterval(timer);
    await Promise.all(threads.map((thread) => thread.close()));
  }
}

/** The result of a task that a check refuses; undefined if it passes. */
function refused(check: () => void): BatchTaskResult | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    return { success: false, terminalOutput: `${error.format()}\n` };
  }
}

/** A queue of results in the order in which tasks finish. */
class Results {
  private readonly ready: TaskDone[] = [];
  private ask: ((result: TaskDone) => void) | undefined;

  add(result: TaskDone): void {
    if (this.ask === undefined) this.ready.push(result);
    else this.ask(result);
    this.ask = undefined;
  }

  next(): Promise<TaskDone> {
    const first = this.ready.shift();
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve) => (this.ask = resolve));
  }
}

/** Nx 21 and 22 state dependencies as names of tasks, later versions as objects. */
const idOf = (dependency: string | { id: string }): string =>
  typeof dependency === 'string' ? dependency : dependency.id;

/** Hands out the tasks of a batch, each when its dependencies are done. */
export class BatchSchedule {
  /** Tasks that have not been handed out, in the graph's order. */
  private readonly open: Set<string>;
  private readonly blockers: ReadonlyMap<string, Set<string>>;
  private waiting: (() => void)[] = [];

  constructor(private readonly graph: Pick<TaskGraph, 'tasks' | 'dependencies'>) {
    this.open = new Set(Object.keys(graph.tasks));
    this.blockers = new Map([...this.open].map((task) => [task, new Set(this.blockersOf(task))]));
  }

  /** Tasks of the batch that a task waits for. Tasks outside the batch were done before it began. */
  blockersOf(task: string): string[] {
    const dependencies: readonly (string | { id: string })[] = this.graph.dependencies[task] ?? [];
    return dependencies.map(idOf).filter((id) => Object.hasOwn(this.graph.tasks, id));
  }

  /** Resolves to the next task, possibly when another one is done; undefined when none is left. */
  async next(): Promise<string | undefined> {
    while (this.open.size > 0) {
      const task = this.ready();
      if (task !== undefined) {
        this.open.delete(task);
        return task;
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    return undefined;
  }

  /** Whether {@link next} would resolve immediately. */
  hasReady(): boolean {
    return this.ready() !== undefined;
  }

  /** Marks a task as done. Returns the tasks that can't run because it failed. */
  finish(task: string, success: boolean): string[] {
    const skipped = success ? [] : this.dropDependents(task);
    if (success) for (const blockers of this.blockers.values()) blockers.delete(task);
    for (const resume of this.waiting.splice(0)) resume();
    return skipped;
  }

  private ready(): string | undefined {
    return [...this.open].find((task) => this.blockers.get(task)?.size === 0);
  }

  private dropDependents(failed: string): string[] {
    const direct = [...this.open].filter((task) => this.blockers.get(task)?.has(failed));
    for (const task of direct) this.open.delete(task);
    return direct.flatMap((task) => [task, ...this.dropDependents(task)]);
  }
}
