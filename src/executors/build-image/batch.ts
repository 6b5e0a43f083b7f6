import { availableParallelism } from 'node:os';
import type { ExecutorContext, TaskGraph } from 'nx/src/devkit-exports';
import { type BatchTask, buildTask, SKIPPED, type TaskResult } from './run-build';
import type { BuildExecutorSchema } from './schema';
import { ThreadBuilder } from './thread-builder';

/** Milliseconds after which a batch that still has images to begin gets one more thread. Starting one costs about 150. */
const THREAD_AFTER = 300;

/** More images at once would wait for the disk. */
const MOST_AT_ONCE = 8;

type Build = (task: BatchTask) => Promise<TaskResult>;

interface TaskDone {
  task: string;
  result: TaskResult;
}

/**
 * Builds all images of a batch in one process, which saves a start of Node for each; small images are done before a
 * thread would have started. When they are larger, threads join in, one after the other.
 */
export default async function* buildBatch(
  graph: TaskGraph,
  options: Record<string, BuildExecutorSchema>,
  _overrides: BuildExecutorSchema,
  context: ExecutorContext,
): AsyncGenerator<TaskDone> {
  const schedule = new BatchSchedule(graph);
  const results = new Results();
  const threads: ThreadBuilder[] = [];

  let living = 0;
  const lane = async (build: Build, isDead = () => false): Promise<void> => {
    living++;
    // A dead thread would fail one image after the other, faster than the others can take them.
    while (!isDead()) {
      const task = await schedule.next();
      if (task === undefined) break;
      const result = await build({ options: options[task]!, target: graph.tasks[task]!.target });
      results.add({ task, result });
      for (const skipped of schedule.finish(task, result.success)) results.add({ task: skipped, result: SKIPPED });
    }
    living--;
  };
  void lane((task) => buildTask(task, context));
  const timer = setInterval(() => {
    if (!schedule.hasReady() || living >= Math.min(MOST_AT_ONCE, Math.max(2, availableParallelism()))) return;
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

/** Results in the order in which tasks are done, for one who asks for them one at a time. */
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

/** Hands out the tasks of a batch, each when all that it depends on is done. */
export class BatchSchedule {
  /** Tasks that nobody has taken, in the graph's order. */
  private readonly open: Set<string>;
  private readonly blockers: ReadonlyMap<string, Set<string>>;
  private waiting: (() => void)[] = [];

  constructor(graph: Pick<TaskGraph, 'tasks' | 'dependencies'>) {
    this.open = new Set(Object.keys(graph.tasks));
    // What isn't part of the batch was done before it began.
    const blockersOf = (task: string) => (graph.dependencies[task] ?? []).map(({ id }) => id);
    this.blockers = new Map(
      [...this.open].map((task) => [task, new Set(blockersOf(task).filter((id) => this.open.has(id)))]),
    );
  }

  /** The next task, which may take until another one is done; undefined when there is none left. */
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

  /** Whether {@link next} has a task at once. */
  hasReady(): boolean {
    return this.ready() !== undefined;
  }

  /** A task is done. Returns the tasks that can't be begun because it failed. */
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
