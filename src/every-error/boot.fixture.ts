import { chmodSync } from 'node:fs';
import { fakeQemu } from '../boot/fake-vmm.fixture';
import { nativeContext, nativeImage, pageData, parameter } from '../boot/native-image.fixture';
import type { BOOT_CODES } from '../errors/codes';
import { written } from '../igvm/igvm-file.fixture';
import type { IgvmFile } from '../igvm/model';
import type { Provocation, Scene } from './scene.fixture';

async function boot(scene: Scene, ...flags: string[]): Promise<string> {
  scene.write('image.igvm', (await written(nativeImage())).bytes);
  return scene.nxIgvm('boot', 'image.igvm', ...flags);
}

/** Boots an image with a program that pretends to be a VMM. */
const bootIn = (path: string, scene: Scene, ...flags: string[]): Promise<string> =>
  boot(scene, '--vmm-path', path, '--accel', 'tcg', ...flags);

async function exported(scene: Scene, file: IgvmFile): Promise<string> {
  scene.write('image.igvm', (await written(file)).bytes);
  return scene.nxIgvm('export', 'image.igvm', '--tables', 'image', '--memory', '256M');
}

/** A program with the name of a VMM. */
function program(scene: Scene, name: string, script: string): string {
  const path = scene.write(name, `#!${process.execPath}\n${script}`);
  chmodSync(path, 0o755);
  return path;
}

export const BOOT_ERRORS: Record<keyof typeof BOOT_CODES, Provocation> = {
  VMM_MISSING: ['names a VMM that does not exist', (scene) => boot(scene, '--vmm-path', scene.path('qemu'))],
  VMM_FAILED: ['has a VMM that fails', (scene) => bootIn(fakeQemu(scene.folder, { exitCode: 2 }), scene)],
  VMM_UNSUPPORTED: [
    'requests emulation with Cloud Hypervisor, which has none',
    (scene) => bootIn(program(scene, 'cloud-hypervisor', ''), scene),
  ],
  KVM_UNUSABLE: [
    'requests KVM from a QEMU that was built without it',
    (scene) => boot(scene, '--vmm-path', fakeQemu(scene.folder), '--accel', 'kvm'),
  ],
  BOOT_PLATFORM: [
    'exports an image for confidential guests as a kernel',
    async (scene) => {
      await scene.image();
      return scene.nxIgvm('export', 'image.igvm');
    },
  ],
  BOOT_CONTEXT: [
    'exports an image whose processor starts without paging',
    (scene) => exported(scene, nativeImage([], { context: nativeContext({ cr0: 1n }) })),
  ],
  BOOT_LAYOUT: [
    'exports an image with pages where VMMs have their firmware',
    (scene) => exported(scene, nativeImage([pageData(0xf0000)])),
  ],
  BOOT_PARAMETER: [
    'exports an image that needs a device tree',
    (scene) => exported(scene, nativeImage(parameter(0, 0x800000, 'deviceTree'))),
  ],
  BOOT_MEMORY: [
    'gives an image less memory than its own size',
    (scene) => bootIn(fakeQemu(scene.folder), scene, '--memory', '2M'),
  ],
  BOOT_NO_MATCH: [
    'waits for a text that the guest never prints',
    (scene) => bootIn(fakeQemu(scene.folder, { output: 'panic' }), scene, '--until', 'Welcome'),
  ],
  BOOT_TIMEOUT: [
    'sets a timeout that is too short',
    (scene) => bootIn(fakeQemu(scene.folder, { hangs: true }), scene, '--timeout', '0.3'),
  ],
  BOOT_STOPPED: [
    'stops a boot before the guest has printed the expected text',
    async (scene) => {
      const timer = setInterval(() => void process.emit('SIGTERM', 'SIGTERM'), 200);
      const said = await bootIn(fakeQemu(scene.folder, { hangs: true }), scene, '--until', 'ready');
      clearInterval(timer);
      return said;
    },
  ],
  BOOT_WAY: [
    'lets QEMU load an image that needs a device tree',
    async (scene) => {
      scene.write('image.igvm', (await written(nativeImage(parameter(0, 0x800000, 'deviceTree')))).bytes);
      const qemu = fakeQemu(scene.folder, { igvm: true, version: '11.0.0' });
      return scene.nxIgvm('boot', 'image.igvm', '--vmm-path', qemu, '--way', 'igvm', '--accel', 'tcg');
    },
  ],
  BOOT_OPTION: ['requests a VM without a processor', (scene) => boot(scene, '--cpus', '0')],
};
