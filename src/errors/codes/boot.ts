import type { ErrorInfo } from '../codes';

/** Running an image (src/boot). */
export const BOOT_CODES = {
  VMM_MISSING: {
    cause: 'No virtual machine monitor that can boot the image was found.',
    cure: 'Install QEMU or Cloud Hypervisor, or name one with --vmmPath.',
  },
} as const satisfies Record<string, ErrorInfo>;
