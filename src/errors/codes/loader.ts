import type { ErrorInfo } from '../codes';

/** Laying out the guest (src/loader, src/vp-context). */
export const LOADER_CODES = {
  LAYOUT_OVERLAP: {
    cause: 'Two parts of the guest need the same memory.',
    cure: 'Move or shrink one of the parts that the message names.',
  },
  LAYOUT_OUT_OF_RANGE: {
    cause: 'A part of the guest lies at an address, or has a size, that the guest or the file format cannot have.',
    cure: 'Give the guest other addresses, more memory or smaller parts, as the message says.',
  },
  KERNEL_INVALID: {
    cause: 'The kernel is not a file that can be loaded: wrong format, architecture or damaged.',
    cure: 'Use a kernel of the right format and architecture.',
  },
  REGISTER_UNSUPPORTED: {
    cause: 'The image sets a register that this kind of VP context cannot hold.',
    cure: 'Use an isolation type whose VP context has the register.',
  },
} as const satisfies Record<string, ErrorInfo>;
