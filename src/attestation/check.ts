/** What came of a check. */
export type CheckResult = 'passed' | 'failed' | 'not asked for';

/** One thing that was looked at. */
export interface Check {
  /** Whether it is about the evidence being genuine, or about the guest being ours. */
  about: 'genuine' | 'ours';
  /** Short and always the same, for programs. */
  name: string;
  result: CheckResult;
  /** What was found, or why it failed, or what asks for it. */
  detail: string;
}

/** The checks of one question, in the order in which they were made. */
export class Checks {
  readonly list: Check[] = [];

  constructor(private readonly about: Check['about']) {}

  passed(name: string, detail: string): void {
    this.add(name, 'passed', detail);
  }

  failed(name: string, detail: string): void {
    this.add(name, 'failed', detail);
  }

  notAskedFor(name: string, detail: string): void {
    this.add(name, 'not asked for', detail);
  }

  /** @returns `ok` */
  expect(name: string, ok: boolean, good: string, bad: string): boolean {
    this.add(name, ok ? 'passed' : 'failed', ok ? good : bad);
    return ok;
  }

  private add(name: string, result: CheckResult, detail: string): void {
    this.list.push({ about: this.about, name, result, detail });
  }
}
