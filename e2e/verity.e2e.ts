import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { findProgram } from '../src/files/find-program';
import { manifest, MIB } from './boot-guest';
import { debianKernelWithModules, needingModules } from './debian-kernel';
import { run } from './harness/run';
import { Workspace } from './harness/workspace';
import { extractVmlinux } from './vmlinux';

const { describe: booting } = needingModules('qemu-system-x86_64', 'veritysetup', 'mke2fs', 'busybox', 'xz');

const SECRET = 'what the verified root holds';

/** The init of the initramfs: opens the disk if it matches the root hash of the command line, and continues from it. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
exec >/dev/console 2>&1 </dev/console
while read -r module; do insmod "$module" || echo "guest: no $module"; done </modules
for word in $(cat /proc/cmdline); do case "$word" in roothash=*) hash="\${word#roothash=}";; esac; done
echo "guest: root hash $hash"
export DM_DISABLE_UDEV=1
if /bin/veritysetup open /dev/vda root /dev/vdb "$hash" && mount -o ro /dev/mapper/root /root; then exec switch_root /root /sbin/init; fi
echo "guest: no root"
poweroff -f
`;

/** The first program of the root file system. */
const ROOT_INIT = `#!/bin/busybox sh
echo "guest: runs from $(/bin/busybox awk '$2 == "/" { print $1, $3 }' /proc/mounts | /bin/busybox tail -n 1)"
if text=$(/bin/busybox cat /secret); then echo "guest: read: $text"; else echo "guest: refused"; fi
/bin/busybox mount -t proc proc /proc
/bin/busybox poweroff -f
`;

/** The script that makes the root file system: the disk, its hashes, and the root hash as text for the command line. */
const BUILD = `set -e
mkdir -p dist/rootfs
mke2fs -q -t ext4 -d rootfs/content -U 6f7a7f50-2a2b-4b9e-9c55-1d5bb6b6a001 -E hash_seed=6f7a7f50-2a2b-4b9e-9c55-1d5bb6b6a002,root_owner=0:0 -b 4096 -F dist/rootfs/root.img 16M
veritysetup format --salt=00 --uuid=6f7a7f50-2a2b-4b9e-9c55-1d5bb6b6a003 dist/rootfs/root.img dist/rootfs/root.hashes > dist/rootfs/format.txt
sed -n 's/^Root hash:[[:space:]]*/roothash=/p' dist/rootfs/format.txt > dist/rootfs/command-line.txt
`;

booting('an image with the root hash of a file system in its command line', () => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create();
    const kernel = debianKernelWithModules('verity');
    workspace.write('boot/vmlinux', extractVmlinux(kernel.vmlinuz));
    const search = process.env['PATH'] ?? '';
    const [busybox, veritysetup] = ['busybox', 'veritysetup'].map((name) => findProgram(name, search)!);
    const copy = (from: string, to: string): void => {
      mkdirSync(dirname(workspace.path(to)), { recursive: true });
      copyFileSync(realpathSync(from), workspace.path(to));
    };
    copy(busybox!, 'initrd/rootfs/bin/busybox');
    copy(veritysetup!, 'initrd/rootfs/bin/veritysetup');
    const libraries = execFileSync('ldd', [veritysetup!], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
    for (const library of libraries) copy(library, `initrd/rootfs${library}`);
    for (const module of kernel.modules) copy(module, `initrd/rootfs/lib/${basename(module)}`);
    const modules = kernel.modules.map((module) => `/lib/${basename(module)}\n`).join('');
    workspace.write('initrd/rootfs/modules', modules);
    workspace.write('initrd/rootfs/init', INIT);
    workspace.writeJson('initrd/initrd.json', { directories: ['dev', 'proc', 'sys', 'run', 'root', 'sbin'] });
    workspace.writeJson('initrd/project.json', { name: 'initrd' });

    copy(busybox!, 'rootfs/content/bin/busybox');
    execFileSync('chmod', ['755', workspace.path('rootfs/content/bin/busybox')]);
    workspace.write('rootfs/content/sbin/init', ROOT_INIT);
    execFileSync('chmod', ['755', workspace.path('rootfs/content/sbin/init')]);
    workspace.write('rootfs/content/secret', SECRET);
    for (const folder of ['dev', 'proc']) workspace.write(`rootfs/content/${folder}/.keep`, '');
    workspace.write('rootfs/build.sh', BUILD);
    workspace.writeJson('rootfs/project.json', {
      name: 'rootfs',
      targets: {
        build: {
          executor: 'nx:run-commands',
          cache: true,
          inputs: ['{projectRoot}/**/*'],
          outputs: ['{workspaceRoot}/dist/rootfs'],
          options: { command: 'sh rootfs/build.sh' },
        },
      },
    });
    const image = manifest({ boot_data: 'embedded', memory_size: 512 * MIB }, 'vmlinux');
    workspace.writeJson('vm/igvm.json', {
      ...image,
      resources: {
        ...image.resources,
        linux_initrd: { project: 'initrd', target: 'build', path: 'dist/initrd/initrd.cpio' },
        linux_command_line: { project: 'rootfs', target: 'build', path: 'dist/rootfs/command-line.txt' },
      },
    });
    workspace.writeJson('vm/project.json', { name: 'vm' });
    await workspace.commit('everything');
    await workspace.nxOk('build', 'vm');
  });
  afterAll(() => workspace?.dispose());

  const hash = (): string => workspace.read('dist/rootfs/command-line.txt').toString().trim();

  /** Boots the image with a disk. */
  async function boot(disk: string): Promise<string> {
    const drives = [disk, 'dist/rootfs/root.hashes'].flatMap((file, index) => [
      '-drive',
      `file=${workspace.path(file)},if=none,id=d${index},format=raw,readonly=on`,
      '-device',
      `virtio-blk-pci,drive=d${index}`,
    ]);
    const program = workspace.path('node_modules/.bin/nx-igvm');
    const args = ['boot', 'dist/vm/vm.igvm', '--accel=tcg', '--timeout=200', '--', ...drives];
    const { output } = await run(program, args, { cwd: workspace.root });
    return output;
  }

  it('boots from the root file system that matches its hash', async () => {
    expect(hash()).toMatch(/^roothash=[0-9a-f]{64}$/);
    const output = await boot('dist/rootfs/root.img');
    expect(output).toContain(`guest: root hash ${hash().slice('roothash='.length)}`);
    expect(output).toContain(`guest: read: ${SECRET}`);
    expect(output).toContain('reboot: Power down');
  });

  it('refuses a changed block', async () => {
    const disk = readFileSync(workspace.path('dist/rootfs/root.img'));
    const at = disk.indexOf(SECRET);
    expect(at).toBeGreaterThan(0);
    disk[at] = disk[at]! ^ 0x20;
    writeFileSync(join(workspace.outside, 'changed.img'), disk);
    const output = await boot(join('..', 'outside', 'changed.img'));
    expect(output).toContain('guest: refused');
    expect(output).not.toContain('guest: read');
    expect(output).toMatch(/device-mapper: verity: .*data block \d+ is corrupted/);
  });

  it('changes when the file system has changed, and only then', async () => {
    const image = workspace.read('dist/vm/vm.igvm');
    expect(image.includes(hash())).toBe(true);
    expect(await workspace.state('vm')).toBe('hit');
    workspace.write('rootfs/content/secret', 'something else');
    expect(await workspace.state('vm')).toBe('built');
    expect(workspace.read('dist/vm/vm.igvm').includes(hash())).toBe(true);
    expect(workspace.read('dist/vm/vm.igvm').equals(image)).toBe(false);
  });
});
