import type { DOWNLOAD_CODES, MANIFEST_CODES } from '../errors/codes';
import { LoopbackServer, serve, sha256Of } from '../resources/loopback-server.fixture';
import { EMPTY_GUEST, KERNEL, linuxGuest, type Provocation } from './scene.fixture';

export const MANIFEST_ERRORS: Record<keyof typeof MANIFEST_CODES | keyof typeof DOWNLOAD_CODES, Provocation> = {
  MANIFEST_SYNTAX: [
    'leaves out a brace in the manifest',
    (scene) => {
      scene.write('igvm.json', '{ "guest_arch": "x64"');
      return scene.nxIgvm('build', 'igvm.json');
    },
  ],
  MANIFEST_DUPLICATE_KEY: [
    'writes a key twice',
    (scene) => {
      const guest = '{ "guest_svn": 1, "max_vtl": 0, "isolation_type": "none", "image": "none" }';
      scene.write('igvm.json', `{ "guest_arch": "x64", "guest_arch": "x64", "guest_configs": [${guest}] }`);
      return scene.nxIgvm('build', 'igvm.json');
    },
  ],
  MANIFEST_INVALID: [
    'writes a number in place of a text',
    (scene) => scene.buildOf(linuxGuest({ command_line: 5 }), KERNEL),
  ],
  MANIFEST_UNKNOWN_KEY: [
    'writes an unknown key in strict mode',
    (scene) => {
      scene.manifest(EMPTY_GUEST, {}, { wattage: 5 });
      return scene.nxIgvm('build', 'igvm.json', '--strict');
    },
  ],
  MANIFEST_CONFLICT: ['defines two guests for one platform', (scene) => scene.buildOf([EMPTY_GUEST, EMPTY_GUEST])],
  RESOURCE_MISSING: ['names no kernel', (scene) => scene.buildOf(linuxGuest())],
  RESOURCE_PATH: [
    'names a kernel by a pattern that nothing matches',
    (scene) => scene.buildOf(linuxGuest(), { linux_kernel: 'vmlinuz-*' }),
  ],
  COMMAND_LINE_TEXT: [
    'appends two lines of text to the command line',
    (scene) => {
      scene.write('root.txt', 'roothash=00\nroothash=11\n');
      return scene.buildOf(linuxGuest(), { ...KERNEL, linux_command_line: 'root.txt' });
    },
  ],
  RESOURCE_DIGEST: [
    'has a kernel that differs from the pinned one',
    (scene) => {
      scene.write('vmlinuz', 'not what was reviewed');
      return scene.buildOf(linuxGuest(), { linux_kernel: { path: 'vmlinuz', sha256: '0'.repeat(64) } });
    },
  ],
  RESOURCE_UNPINNED: [
    'names a URL without a digest',
    (scene) => withServer('a kernel', (url) => scene.downloading(linuxGuest(), { linux_kernel: { url } })),
  ],
  DOWNLOAD_FAILED: [
    'names a URL whose server does not exist',
    (scene) => scene.downloading(linuxGuest(), { linux_kernel: { url: 'http://127.0.0.1:9/vmlinuz', sha256: DIGEST } }),
  ],
  DOWNLOAD_REFUSED: [
    'names a download that is larger than the limit',
    (scene) =>
      withServer('a kernel', (url) =>
        scene.downloading(linuxGuest(), { linux_kernel: { url, sha256: DIGEST } }, '--download-limit', '4'),
      ),
  ],
  ARCHIVE_INVALID: [
    'names a member of a file that is not an archive',
    (scene) =>
      withServer('a kernel', (url) =>
        scene.downloading(linuxGuest(), { linux_kernel: { url, sha256: sha256Of('a kernel'), member: 'vmlinuz' } }),
      ),
  ],
  ARCHIVE_MEMBER: [
    'names a member that an archive does not have',
    (scene) =>
      withServer(EMPTY_ZIP, (url) =>
        scene.downloading(linuxGuest(), { linux_kernel: { url, sha256: sha256Of(EMPTY_ZIP), member: 'vmlinuz' } }),
      ),
  ],
};

const DIGEST = '0'.repeat(64);

/** An empty .zip: it consists of the end record only. */
const EMPTY_ZIP = Buffer.from(`PK\u0005\u0006${'\0'.repeat(18)}`);

/** Serves a content by HTTP during an action. */
async function withServer(content: string | Buffer, work: (url: string) => Promise<string>): Promise<string> {
  const server = await LoopbackServer.start(serve(Buffer.from(content)));
  try {
    return await work(server.url().href);
  } finally {
    await server.close();
  }
}
