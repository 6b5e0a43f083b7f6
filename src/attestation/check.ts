/** The result of a check. */
export type CheckResult = 'passed' | 'failed' | 'not asked for';

/** One check. */
export interface Check {
  /** Whether it is about the evidence being genuine or about the guest being ours. */
  about: 'genuine' | 'ours';
  /** Short and stable, for programs. */
  name: string;
  result: CheckResult;
  /** What was found, why it failed, or the option that requests the check. */
  detail: string;
}

/** The checks for one question, in order. */
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
