import type { TaskGraph } from 'nx/src/devkit-exports';

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
