import { type Command, Option } from 'commander';
import { ALL_VMM_NAMES, type LaunchOptions } from '../../measurement/launches';
import { KVM_MODES } from '../../manifest/launch-request';

export interface LaunchFlags extends LaunchOptions {
  vmm?: string;
}

/** Adds the options that say how a guest is launched. @param vmms what --vmm means, for the help */
export const withLaunchOptions = (command: Command, vmms: string): Command =>
  command
    .addOption(new Option('--vmm <vmm>', vmms).choices([...ALL_VMM_NAMES, 'kvm']))
    .option('--vcpus <counts>', 'counts of vCPUs for the VMMs on KVM, such as 1,2,4 (default: 1)')
    .option('--cpu <models>', 'processors for QEMU: models (EPYC-Milan), signatures (0x00a00f11) or 25/1/1')
    .addOption(
      new Option(
        '--kvm-mode <mode>',
        'whose VMSAs KVM measures; bsp-only is an unfinished change of the kernel',
      ).choices(KVM_MODES),
    );
