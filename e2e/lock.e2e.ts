import { input } from './harness/inputs';
import { Workspace } from './harness/workspace';

const PROJECT = 'images/guest';
const LOCK = `${PROJECT}/igvm.lock.json`;

let workspace: Workspace;
beforeAll(async () => {
  workspace = await Workspace.create();
  workspace.write(`${PROJECT}/vmlinux`, input('vmlinux-x64.elf'));
  workspace.write(`${PROJECT}/shim`, input('openhcl_boot-x64.elf'));
  workspace.write(`${PROJECT}/initrd`, input('initrd-small.bin'));
  writeManifest('first');
});
afterAll(() => workspace.dispose());

function writeManifest(commandLine: string): void {
  workspace.writeJson(`${PROJECT}/igvm.json`, {
    $schema: '../../node_modules/nx-igvm/schemas/igvm.schema.json',
    guest_arch: 'x64',
    guest_configs: [
      {
        guest_svn: 1,
        max_vtl: 2,
        isolation_type: { tdx: { enable_debug: false, sept_ve_disable: true } },
        image: {
          openhcl: { command_line: commandLine, memory_page_count: 16384, uefi: false, memory_page_base: 32768 },
        },
      },
    ],
    resources: { underhill_kernel: 'vmlinux', openhcl_boot: 'shim', underhill_initrd: 'initrd' },
  });
}

describe('the measurement lock of an image', () => {
  it('is required by verify, which builds the image first', async () => {
    const { status, output } = await workspace.nx('verify', 'guest');
    expect(status).not.toBe(0);
    expect(output).toContain('[LOCK_MISSING]');
    expect(output).toContain('guest:build');
  });

  it('is written by measure, with its schema for editors', async () => {
    expect(await workspace.nxOk('run', 'guest:measure', '--update-lock')).toContain(`${LOCK}: written`);
    const lock = workspace.readJson<{ $schema: string; platforms: object }>(LOCK);
    expect(lock.$schema).toBe('../../node_modules/nx-igvm/schemas/igvm.lock.schema.json');
    expect(Object.keys(lock.platforms)).toEqual(['tdx']);
  });

  it('is checked by verify each time, and never cached', async () => {
    expect(await workspace.state('guest', 'verify')).toBe('built');
    expect(await workspace.state('guest', 'verify')).toBe('built');
    workspace.write(LOCK, `${workspace.read(LOCK).toString()}\n`);
    expect(await workspace.state('guest', 'verify')).toBe('built');
  });

  it('makes verify fail if the image’s measurement differs, and name the changes', async () => {
    writeManifest('second');
    const { status, output } = await workspace.nx('verify', 'guest');
    expect(status).not.toBe(0);
    expect(output).toContain('TDX: the launch digest is not the expected one');
    expect(output).toMatch(/underhill-command-line 0x[0-9a-f]+-0x[0-9a-f]+: other contents/);
    expect(output).not.toMatch(/underhill-kernel .*: /);
    expect(output).toContain('[LOCK_MISMATCH]');
  });

  it('is never updated automatically', async () => {
    const before = workspace.read(LOCK);
    await workspace.nxOk('sync');
    await workspace.nx('verify', 'guest');
    expect(workspace.read(LOCK)).toEqual(before);
  });

  it('is updated by the sync generator, if nx.json lists it', async () => {
    workspace.updateJson<{ sync?: object }>('nx.json', (json) => {
      json.sync = { globalGenerators: ['nx-igvm:sync-lock'] };
    });
    expect((await workspace.nx('sync:check')).status).not.toBe(0);
    await workspace.nxOk('sync');
    expect((await workspace.nx('sync:check')).status).toBe(0);
    expect(await workspace.state('guest', 'verify')).toBe('built');
  });

  it('is not updated by the sync generator while the image is outdated; the message says "build first"', async () => {
    const before = workspace.read(LOCK);
    writeManifest('third');
    const { status, output } = await workspace.nx('sync');
    expect(status).not.toBe(0);
    expect(output).toContain('build first: the image of guest:build is not current');
    expect(workspace.read(LOCK)).toEqual(before);
  });
});

describe('the other targets of a built image', () => {
  it('write a page, and restore it from the cache', async () => {
    expect(await workspace.state('guest', 'inspect')).toBe('built');
    const page = workspace.read('dist/images/guest/guest.html');
    await workspace.nxOk('reset', '--only-daemon');
    expect(await workspace.state('guest', 'inspect')).toBe('hit');
    expect(workspace.read('dist/images/guest/guest.html')).toEqual(page);
    expect(page.toString()).toContain('underhill-command-line');
  });

  it('show inputs, outputs, metadata and help', async () => {
    const { targets } = JSON.parse(await workspace.nxOk('show', 'project', 'guest', '--json')) as {
      targets: Record<string, { inputs: unknown[]; outputs: unknown[]; metadata: { help: { command: string } } }>;
    };
    for (const kind of ['inspect', 'measure', 'verify', 'sign']) {
      expect(targets[kind]).toMatchObject({
        inputs: expect.any(Array),
        outputs: expect.any(Array),
        metadata: { description: expect.any(String), help: { command: expect.stringMatching(/^npx nx-igvm /) } },
      });
    }
  });
});
