/** A range of guest memory in bytes. */
export interface MemoryRange {
  gpa: number;
  size: number;
}

/** Hands out guest memory upwards from an address, each range right behind the one before. */
export class UpwardLayout {
  /** @param next first GPA that is not yet taken; a part that finds its own size moves it */
  constructor(public next: number) {}

  /** @param size bytes */
  take(size: number): MemoryRange {
    const range = { gpa: this.next, size };
    this.next += size;
    return range;
  }
}
