/** Thrown instead of an allocation beyond the limit. */
export class AllocationRefused extends Error {
  override readonly name = 'AllocationRefused';
}

const TYPED_ARRAYS = [
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;

const BUFFERS = ['ArrayBuffer', 'SharedArrayBuffer'] as const;

/** Methods that call the constructor of a typed array, but not through the name that we replace. */
const COPYING_METHODS = ['slice', 'map', 'filter', 'toReversed', 'toSorted', 'with'] as const;

type Constructor = new (...args: unknown[]) => ArrayBufferView | ArrayBufferLike;
type Callable = (...args: unknown[]) => unknown;

/**
 * Counts the bytes of buffers from all code that uses the global constructors. An allocation beyond the limit is refused before it
 * is made, so a hostile size costs nothing. Views of existing buffers don't count.
 */
export class AllocationMeter {
  /** Since {@link start}. */
  bytes = 0;
  /** The allocation that was refused since {@link start}, even if the code under test caught the error. */
  refused: AllocationRefused | undefined;
  private limit = Number.POSITIVE_INFINITY;
  private readonly undo: (() => void)[] = [];

  /** Starts counting from zero. @param limit bytes */
  start(limit: number): void {
    this.bytes = 0;
    this.refused = undefined;
    this.limit = limit;
  }

  /** Allows everything again. */
  stop(): void {
    this.limit = Number.POSITIVE_INFINITY;
  }

  /** Replaces the constructors in this thread. */
  install(): void {
    const scope = globalThis as unknown as Record<string, unknown>;
    for (const name of [...TYPED_ARRAYS, ...BUFFERS]) {
      const original = scope[name] as Constructor & { BYTES_PER_ELEMENT?: number; prototype: object };
      this.replace(scope, name, this.counting(original));
      for (const method of COPYING_METHODS) {
        const copy = (original.prototype as Record<string, unknown>)[method] as Callable | undefined;
        if (copy === undefined || (BUFFERS as readonly string[]).includes(name)) continue;
        this.replace(original.prototype as Record<string, unknown>, method, this.countingCopy(copy));
      }
    }
    const makers = Buffer as unknown as Record<string, unknown>;
    for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow', 'from', 'concat']) {
      const make = makers[name] as Callable;
      this.replace(makers, name, (...args: unknown[]): unknown => {
        const [first] = args;
        if (typeof first === 'number') this.count(first);
        const made = make.apply(Buffer, args) as Uint8Array;
        // A view of an existing ArrayBuffer.
        const isView = first instanceof ArrayBuffer || first instanceof SharedArrayBuffer;
        if (typeof first !== 'number' && !isView) this.count(made.length);
        return made;
      });
    }
  }

  /** Restores the constructors. */
  uninstall(): void {
    for (const step of this.undo.reverse()) step();
    this.undo.length = 0;
  }

  private counting(original: Constructor & { BYTES_PER_ELEMENT?: number }): Constructor {
    const width = original.BYTES_PER_ELEMENT ?? 1;
    return new Proxy(original, {
      construct: (target, args: unknown[], newTarget) => {
        const [first] = args;
        if (typeof first === 'number') this.count(first * width);
        else if (Array.isArray(first) || ArrayBuffer.isView(first)) {
          this.count((first as unknown as { length: number }).length * width);
        }
        // The constructor's own methods also call it through the proxy.
        return Reflect.construct(target, args, newTarget) as object;
      },
    });
  }

  private countingCopy(copy: Callable): Callable {
    const count = (made: ArrayBufferView): ArrayBufferView => {
      this.count(made.byteLength);
      return made;
    };
    return function counted(this: unknown, ...args: unknown[]): unknown {
      return count(copy.apply(this, args) as ArrayBufferView);
    };
  }

  private count(size: number): void {
    // The constructor refuses invalid sizes.
    if (!(size > 0)) return;
    if (this.bytes + size > this.limit) {
      this.refused ??= new AllocationRefused(`${size} bytes, after ${this.bytes}, are more than ${this.limit}`);
      throw this.refused;
    }
    this.bytes += size;
  }

  private replace(holder: Record<string, unknown>, name: string, value: unknown): void {
    const own = Object.getOwnPropertyDescriptor(holder, name);
    Object.defineProperty(holder, name, { configurable: true, writable: true, value });
    this.undo.push(() => {
      if (own === undefined) delete holder[name];
      else Object.defineProperty(holder, name, own);
    });
  }
}
