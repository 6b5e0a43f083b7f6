import type { ErrorInfo } from '../error-info';

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
  FIRMWARE_INVALID: {
    cause: 'The UEFI firmware has the wrong size, damaged metadata, or nothing in it that a guest could start.',
    cure: 'Use a build of UEFI for Hyper-V (MSVM.fd) for the architecture of the guest, or of OVMF for `nx-igvm wrap`.',
  },
  OVMF_UNSUITABLE: {
    cause:
      'A program was to be put into an image, or taken out, whose firmware does not look for one: it is no OVMF, or OVMF without a HOB area.',
    cure: 'Wrap a build of OVMF that takes a kernel from an IGVM file, such as OVMF.amdsev.fd of edk2-stable202511 or newer.',
  },
  EFI_DATA_INVALID: {
    cause: 'An EFI program is damaged or no 64-bit program, or a file with Secure Boot signatures is damaged.',
    cure: 'Give an EFI program (PE32+), such as a kernel with an EFI stub or a UKI; without its hash in db, any file is taken.',
  },
  CONFIG_UNSUPPORTED: {
    cause: 'The options of the image are each valid, but not together, or not on this architecture or isolation type.',
    cure: 'Change one of the options that the message names.',
  },
  ISOLATION_UNSUPPORTED: {
    cause: 'The image asks for an isolation option that its kind of guest cannot run with.',
    cure: 'Change the isolation option that the message names.',
  },
  EXTERNAL_LOADER_FAILED: {
    cause: 'The igvmfilegen program given as loader could not be started, failed, or wrote no image.',
    cure: 'Read its messages above; check the path of the loader, or leave the option out.',
  },
} as const satisfies Record<string, ErrorInfo>;
