import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../src/files/find-program';
import { packInitrd } from '../src/initrd/pack-initrd';

/** The line that the guest prints once userspace runs. */
export const GUEST_READY = 'guest: in userspace';

/**
 * Prints facts about the guest's machine, then powers off. `shell` on the command line starts a shell instead, `stay` waits, and
 * `restart` restarts the guest.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1 </dev/console
echo "${GUEST_READY}"
echo "guest: command line: $(/bin/busybox cat /proc/cmdline)"
echo "guest: $(/bin/busybox grep MemTotal /proc/meminfo)"
echo "guest: processors: $(/bin/busybox grep -c ^processor /proc/cpuinfo)"
echo "guest: up for $(/bin/busybox cut -d. -f1 /proc/uptime) seconds"
echo "guest: done"
if /bin/busybox grep -qw shell /proc/cmdline; then exec /bin/busybox setsid /bin/busybox cttyhack /bin/busybox sh; fi
if /bin/busybox grep -qw stay /proc/cmdline; then while :; do /bin/busybox sleep 1; done; fi
if /bin/busybox grep -qw restart /proc/cmdline; then exec /bin/busybox reboot -f; fi
/bin/busybox poweroff -f
`;

/** An initramfs of busybox and {@link INIT}. */
export async function makeBootInitrd(output: string): Promise<void> {
  const busybox = findProgram('busybox');
  if (busybox === undefined) throw new Error('these tests need a static busybox (Debian: busybox-static)');
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-initrd-'));
  try {
    mkdirSync(join(folder, 'bin'));
    copyFileSync(busybox, join(folder, 'bin', 'busybox'));
    writeFileSync(join(folder, 'init'), INIT);
    for (const file of ['bin/busybox', 'init']) chmodSync(join(folder, file), 0o755);
    await packInitrd({
      folder,
      output,
      compression: 'gzip',
      directories: ['dev', 'proc', 'sys'],
      symlinks: { 'bin/sh': 'busybox' },
      devices: [
        { path: 'dev/console', type: 'char', major: 5, minor: 1 },
        { path: 'dev/null', type: 'char', major: 1, minor: 3, mode: '666' },
      ],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
