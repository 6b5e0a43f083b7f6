import type { ErrorInfo } from '../codes';

/** The Nx side (src/plugin, src/executors, src/generators). */
export const NX_CODES = {
  NX_TARGET_UNKNOWN: {
    cause: 'The manifest uses the output of a project or target that does not exist in the workspace.',
    cure: 'Correct the project and target names.',
  },
} as const satisfies Record<string, ErrorInfo>;
