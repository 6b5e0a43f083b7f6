import type { ErrorInfo } from '../error-info';

/** Running an image (src/boot). */
export const BOOT_CODES = {
  VMM_MISSING: {
    cause: 'No virtual machine monitor that can boot the image was found.',
    cure: 'Install QEMU or Cloud Hypervisor, or name one with --vmm-path.',
  },
  VMM_FAILED: {
    cause: 'The virtual machine monitor could not be started, or gave up.',
    cure: 'Read what it printed; extra arguments after -- go to it unchanged.',
  },
  VMM_UNSUPPORTED: {
    cause: 'The chosen virtual machine monitor cannot do what an option asks for.',
    cure: 'Drop the option, or choose another monitor with --vmm.',
  },
  KVM_UNUSABLE: {
    cause: 'KVM is needed or was asked for, but this machine has none that runs a 64-bit guest.',
    cure: 'Use --accel tcg with QEMU, or a machine with hardware virtualization and access to /dev/kvm.',
  },
  BOOT_PLATFORM: {
    cause: 'The image has no NATIVE x64 guest; guests of other platforms need a paravisor or confidential hardware.',
    cure: 'Boot it on the platform that the message names, or build a linux image with isolation_type none.',
  },
  BOOT_CONTEXT: {
    cause: 'The VP context of the image describes a state that a PVH boot cannot reach.',
    cure: 'Use 64-bit mode with 4-level page tables below 4 GiB, as linux images do, and one VP context.',
  },
  BOOT_LAYOUT: {
    cause: 'The pages of the image lie where a PVH boot cannot put them.',
    cure: 'Keep pages out of 0xa0000-0xfffff, leave a gap above 1 MiB, and identity-map it.',
  },
  BOOT_PARAMETER: {
    cause: 'A parameter of the image cannot be filled in as asked.',
    cure: 'Check the command line, memory and processor count that were asked for.',
  },
  BOOT_MEMORY: {
    cause: 'The virtual machine would have less memory than the image needs, or it would lie in the wrong place.',
    cure: 'Give it more with --memory, or build the image for less.',
  },
  BOOT_NO_MATCH: {
    cause: 'The guest ended, or the time was over, before its output matched --until.',
    cure: "Read the guest's output; give it more time with --timeout.",
  },
  BOOT_TIMEOUT: {
    cause: 'The guest was still running when the time was over.',
    cure: 'Give it more time with --timeout, or say with --until what it prints when it is done.',
  },
  BOOT_STOPPED: {
    cause: 'The run was stopped from outside before the guest had shown what was waited for.',
    cure: 'Run it again; if a time limit of something else stopped it, give that more time than --timeout.',
  },
  BOOT_WAY: {
    cause: 'The virtual machine monitor cannot load the image itself, as --way igvm asks for.',
    cure: 'Boot it as a PVH kernel, which is the default (--way pvh), or build it for that monitor.',
  },
  BOOT_OPTION: {
    cause: 'An option of boot or export has a value that makes no sense.',
    cure: 'Correct the value; see --help.',
  },
} as const satisfies Record<string, ErrorInfo>;
