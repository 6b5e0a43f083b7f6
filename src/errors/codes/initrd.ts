import type { ErrorInfo } from '../error-info';

/** Packing an initramfs (src/initrd). */
export const INITRD_CODES = {
  INITRD_ENTRY: {
    cause:
      'Something in the folder, or in the lists beside it, has no place in an initramfs, or Linux would leave it out or change it.',
    cure: 'An initramfs holds files below 4 GiB, folders, symbolic links and listed devices, each path once. https://github.com/nx-igvm/nx-igvm/blob/main/docs/initrd.md lists what Linux takes.',
  },
} as const satisfies Record<string, ErrorInfo>;
