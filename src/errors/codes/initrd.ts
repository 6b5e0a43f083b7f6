import type { ErrorInfo } from '../error-info';

/** Packing an initramfs (src/initrd). */
export const INITRD_CODES = {
  INITRD_ENTRY: {
    cause: 'Something in the folder, or in the lists beside it, has no place in an initramfs.',
    cure: 'An initramfs holds files below 4 GiB, folders, symbolic links and listed devices, each path once.',
  },
  INITRD_COMPRESSION: {
    cause: 'The compression that was asked for needs a program that is not there or failed.',
    cure: 'Install zstd or use Node 22.15 or newer, or choose gzip or none.',
  },
} as const satisfies Record<string, ErrorInfo>;
