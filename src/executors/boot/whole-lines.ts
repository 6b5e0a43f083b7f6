/** Milliseconds after which a line without an end is a prompt, and worth showing. */
const PROMPT_AFTER = 500;

/**
 * Hands text on in whole lines. Nx, where it has no terminal, ends a line wherever a piece of output ends, and a serial
 * console comes in pieces of any length.
 */
export class WholeLines {
  private pending = '';
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly write: (text: string) => void) {}

  take(text: string): void {
    clearTimeout(this.timer);
    const all = this.pending + text;
    const end = all.lastIndexOf('\n') + 1;
    this.pending = all.slice(end);
    if (end > 0) this.write(all.slice(0, end));
    if (this.pending !== '') this.timer = setTimeout(() => this.end(), PROMPT_AFTER);
  }

  /** Hands on what is left. */
  end(): void {
    clearTimeout(this.timer);
    if (this.pending !== '') this.write(this.pending);
    this.pending = '';
  }
}
