/**
 * Runs every shell snippet of every page and of the READMEs that generators write, in order, as a reader would.
 * Snippets that cannot run here are marked in the page, with the reason (src/reference/snippets.fixture.ts).
 */
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fakeQemu } from '../src/boot/fake-vmm.fixture';
import certificates from '../src/loader/ovmf/certificates.json';
import { ovmfFirmware } from '../src/loader/ovmf/ovmf-firmware.fixture';
import { signedCorim } from '../src/endorsement/signer.fixture';
import { packInitrd } from '../src/initrd/pack-initrd';
import { allSnippets, commandsOf, type PageSnippet, snippetsOf } from '../src/reference/snippets.fixture';
import { debianKernel, needingKernel } from './debian-kernel';
import { input } from './harness/inputs';
import { cleanEnvironment, run } from './harness/run';
import { NX_ENVIRONMENT, REPOSITORY } from './harness/template';
import { Workspace } from './harness/workspace';

const SNIPPETS = allSnippets(REPOSITORY).filter(({ language, notRun }) => language === 'sh' && notRun === undefined);
const PAGES = [...new Set(SNIPPETS.map(({ page }) => page))].filter((page) => !page.endsWith('.template'));

let workspace: Workspace;
/** Programs that replace others, first in PATH. */
let bin: string;

beforeAll(async () => {
  workspace = await Workspace.create();
  bin = join(workspace.outside, 'bin');
  mkdirSync(bin);
  // The workspace already has the plugin, and the package isn't in a registry, so `nx add` only checks that it is installed.
  program('nx', 'if [ "$1" = add ]; then exec test -d node_modules/nx-igvm; fi\nexec node_modules/.bin/nx "$@"');
  // The running kernel may have no file, as in a container.
  program('uname', 'echo e2e');
  workspace.write('.gitignore', 'node_modules\n.nx\ndist\n*.log\n');
  await workspace.commit('empty');
  await workspace.git('tag', 'empty');
});
afterAll(() => workspace?.dispose());

function program(name: string, script: string): void {
  workspace.write(`../outside/bin/${name}`, `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
}

/** What the commands of a page need in the workspace. */
interface Scene {
  /** Prepares the workspace. */
  set?: () => void | Promise<void>;
  /** Replacements for placeholder texts of the page. */
  replace?: Record<string, string>;
  /** Whether a real VM runs the guest; the others end at once. */
  boots?: boolean;
  /** Whether generators only report what they would write, because the examples are alternatives. */
  dryRun?: boolean;
}

const put = (file: string, name: string): void => workspace.write(file, input(name));

const guest = (isolation: unknown, maxVtl: number, image: unknown) => ({
  guest_svn: 1,
  max_vtl: maxVtl,
  isolation_type: isolation,
  image,
});

const SNP = { policy: 196608, enable_debug: false, injection_type: 'normal', secure_avic: 'disabled' };
const OPENHCL = { openhcl: { command_line: '', memory_page_base: 32768, memory_page_count: 16384 } };
const PARAVISOR = { underhill_kernel: 'vmlinux', openhcl_boot: 'shim', underhill_initrd: 'initrd' };

/** An image for three platforms, without CoRIMs, which QEMU doesn't load. */
function paravisorImage(name: string, resources: object = PARAVISOR, file = `${name}/igvm.json`): void {
  put(`${name}/vmlinux`, 'vmlinux-x64.elf');
  put(`${name}/shim`, 'openhcl_boot-x64.elf');
  put(`${name}/initrd`, 'initrd-small.bin');
  workspace.writeJson(file, {
    guest_arch: 'x64',
    embed_corim: false,
    guest_configs: [
      guest({ snp: { ...SNP, shared_gpa_boundary_bits: 46 } }, 2, OPENHCL),
      guest({ tdx: { enable_debug: false, sept_ve_disable: true } }, 2, OPENHCL),
    ],
    resources,
  });
}

/** The image for a VM on SNP hardware. */
function snpImage(name: string): void {
  put(`${name}/vmlinux`, 'vmlinux-x64.elf');
  workspace.writeJson(`${name}/igvm.json`, {
    guest_arch: 'x64',
    embed_corim: false,
    guest_configs: [
      guest({ snp: SNP }, 0, {
        snp_linux_direct: {
          linux: { use_initrd: false, command_line: '' },
          processor_count: 1,
          memory_page_count: 16384,
          c_bit_position: 51,
        },
      }),
    ],
    resources: { linux_kernel: 'vmlinux' },
  });
}

/** The image that boots on this machine. */
function linuxImage(name: string, more: object = {}, file = `${name}/igvm.json`): void {
  put(`${name}/vmlinux`, 'vmlinux-x64.elf');
  workspace.writeJson(file, {
    guest_arch: 'x64',
    guest_configs: [
      guest('none', 0, {
        linux: { use_initrd: false, command_line: 'console=ttyS0', boot_data: 'embedded', memory_size: 2 ** 29 },
      }),
    ],
    resources: { linux_kernel: 'vmlinux' },
    ...more,
  });
}

const initrdProject = (): void => {
  workspace.writeJson('initrd/initrd.json', { init: 'x64' });
  workspace.write('initrd/rootfs/file', 'content');
};

const built = (...projects: string[]): Promise<string> =>
  workspace.nxOk('run-many', '-t', 'build', '-p', projects.join(','), '--outputStyle=static');

async function withLock(name: string): Promise<void> {
  paravisorImage(name);
  await workspace.nxOk('measure', name, '--updateLock');
}

/** A signature like one from a vault. */
function idBlockSignature(idBlock: string): void {
  const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { cwd: workspace.root, stdio: 'pipe' });
  openssl('ecparam', '-name', 'secp384r1', '-genkey', '-noout', '-out', 'id-key.private.pem');
  openssl('ec', '-in', 'id-key.private.pem', '-pubout', '-out', 'id-key.pem');
  openssl('dgst', '-sha384', '-sign', 'id-key.private.pem', '-out', 'id.sig', idBlock);
}

/** The JSON of a page. */
const jsonOf = (page: string): string[] =>
  allSnippets(REPOSITORY).flatMap((each) => (each.page === page && each.language === 'json' ? [each.text] : []));

/** The scenes of the pages. */
const SCENES: Record<string, Scene> = {
  'README.md': {
    boots: true,
    set: async () => {
      copyFileSync(debianKernel().vmlinuz, workspace.path('vmlinuz'));
      mkdirSync(workspace.path('empty'));
      const output = workspace.path('initrd.cpio');
      await packInitrd({ folder: workspace.path('empty'), output, compression: 'none', init: 'x64' });
    },
  },
  'docs/attestation.md': {
    set: async () => {
      paravisorImage('cvm');
      await built('cvm');
      for (const name of ['old.igvm', 'new.igvm']) workspace.copy(workspace.path('dist/cvm/cvm.igvm'), name);
      await workspace.commit('an image');
    },
  },
  'docs/boot.md': { set: () => linuxImage('guest-image', { boot_test: { until: 'guest is up' } }) },
  'docs/launch-digests.md': {
    set: async () => {
      snpImage('cvm');
      await built('cvm');
    },
  },
  'docs/migration-from-igvmfilegen.md': {
    set: () => {
      paravisorImage('manifests', undefined, 'manifests/openhcl.json');
      const resources = Object.fromEntries(
        Object.entries(PARAVISOR).map(([name, file]) => [name, workspace.path(`manifests/${file}`)]),
      );
      workspace.writeJson('manifests/resources.json', { resources });
      copyFileSync(workspace.path('manifests/openhcl.json'), workspace.path('manifest.json'));
      copyFileSync(workspace.path('manifests/resources.json'), workspace.path('resources.json'));
    },
  },
  'docs/ovmf.md': {
    set: () => {
      workspace.write('OVMF.amdsev.fd', ovmfFirmware());
      for (const name of ['linux.efi', 'newer.efi', 'signed.efi']) workspace.write(name, Buffer.alloc(0x2000, name));
      const key = `-----BEGIN CERTIFICATE-----\n${certificates['rh-pk-kek-2014.der']}\n-----END CERTIFICATE-----\n`;
      for (const name of ['pk.pem', 'kek.pem', 'db.pem']) workspace.write(name, key);
    },
  },
  'docs/reference-values.md': { set: () => withLock('vm') },
  'docs/executors/boot.md': { set: () => linuxImage('my-image') },
  'docs/executors/build.md': { set: () => linuxImage('my-image') },
  'docs/executors/group.md': {
    set: () => {
      workspace.writeJson('my-images/project.json', { name: 'my-images' });
      for (const name of ['one', 'two']) linuxImage('my-images', {}, `my-images/${name}.igvm.json`);
    },
  },
  'docs/executors/initrd.md': { set: initrdProject },
  'docs/executors/inspect.md': { set: () => linuxImage('my-image') },
  'docs/executors/measure.md': { set: () => snpImage('my-image') },
  'docs/executors/sign.md': {
    set: async () => {
      paravisorImage('my-image');
      workspace.updateJson<{ embed_corim: boolean }>('my-image/igvm.json', (json) => {
        json.embed_corim = true;
      });
      await built('my-image');
      idBlockSignature('dist/my-image/my-image-snp.idblock');
      const key = generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey;
      workspace.write('tdx.cose', signedCorim(workspace.read('dist/my-image/my-image-tdx.cbor'), { key }));
    },
  },
  'docs/executors/verify.md': { set: () => withLock('my-image') },
  'docs/generators/ci-workflow.md': { dryRun: true },
  'docs/generators/convert-to-inferred.md': {
    dryRun: true,
    set: () => {
      linuxImage('my-image');
      workspace.writeJson('my-image/project.json', { name: 'my-image' });
    },
  },
  'docs/generators/guest-image.md': {
    dryRun: true,
    set: () => {
      initrdProject();
      put('boot/initrd.cpio', 'initrd-small.bin');
      paravisorImage('manifests', undefined, 'manifests/my-image.json');
      workspace.writeJson('manifests/resources.json', {
        resources: {
          underhill_kernel: workspace.path('manifests/vmlinux'),
          openhcl_boot: workspace.path('manifests/shim'),
          underhill_initrd: workspace.path('manifests/initrd'),
        },
      });
    },
    replace: { '../manifests': 'manifests' },
  },
  'docs/generators/init.md': { dryRun: true },
  'docs/generators/initrd.md': { dryRun: true, set: initrdProject, replace: { 'initrd initrd': 'initrd other' } },
  'docs/generators/preset.md': { dryRun: true },
  'docs/generators/sync-lock.md': {
    dryRun: true,
    set: async () => {
      await withLock('my-image');
      workspace.updateJson<{ sync?: object }>('nx.json', (json) => {
        json.sync = { globalGenerators: ['nx-igvm:sync-lock'] };
      });
    },
  },
};

/** Resets the workspace, except for installed and cached files. */
async function reset(): Promise<void> {
  for (const name of readdirSync(workspace.root)) {
    if (!['node_modules', '.nx', '.git'].includes(name)) rmSync(workspace.path(name), { recursive: true, force: true });
  }
  await workspace.git('reset', '-q', '--hard', 'empty');
}

/** Runs a command line as a user would type it. It has to succeed. @param page the page that contains it */
async function type(line: string, page: string): Promise<string> {
  const env = {
    ...cleanEnvironment(),
    ...NX_ENVIRONMENT,
    NX_BASE: 'HEAD',
    PATH: [bin, workspace.path('node_modules/.bin'), process.env['PATH']].join(delimiter),
  };
  const { status, output } = await run('sh', ['-c', line], { cwd: workspace.root, env });
  // As with diff(1), differences are not a failure.
  const differs = status === 1 && line.startsWith('npx nx-igvm diff ');
  if (status !== 0 && !differs) throw new Error(`${page}: ${line} ended with ${status}:\n${output}`);
  return output;
}

/** Runs the commands of snippets, each of which has to succeed. */
async function follow(
  snippets: readonly PageSnippet[],
  { replace = {}, boots = false, dryRun = false }: Scene,
): Promise<void> {
  const { vmlinuz } = debianKernel();
  const qemu = join(bin, 'qemu-system-x86_64');
  rmSync(qemu, { force: true });
  if (!boots) fakeQemu(bin, { output: 'guest is up' });
  for (const { page, text } of snippets) {
    for (const command of commandsOf(text)) {
      let line = command.replaceAll('/boot/vmlinuz-$(uname -r)', vmlinuz);
      for (const [from, to] of Object.entries(replace)) line = line.replaceAll(from, to);
      if (dryRun && line.startsWith('nx g ')) line += ' --dry-run';
      await type(line, page);
    }
  }
}

const { describe: onThisMachine } = needingKernel('amd64', 'qemu-system-x86_64', 'openssl', 'busybox');

onThisMachine('the snippets of the pages', () => {
  it('belong to existing pages', () => {
    expect(Object.keys(SCENES).filter((page) => !PAGES.includes(page))).toEqual([]);
    expect(PAGES.length).toBeGreaterThan(20);
  });

  it.each(PAGES)('run as written: %s', async (page) => {
    await reset();
    const scene = SCENES[page] ?? {};
    await scene.set?.();
    await follow(
      SNIPPETS.filter((each) => each.page === page),
      scene,
    );
  });

  it('run as written: the targets that pages show as JSON', async () => {
    await reset();
    linuxImage('my-image');
    // The page names a kernel on the web. Here it is a local file with its own digest.
    program('curl', 'for last; do :; done\ncp "${last#file://}" "$3"');
    const [target, resources] = jsonOf('docs/binaries.md');
    const served = workspace.path('my-image/vmlinux');
    workspace.write('kernel/project.json', target!.replace('https://example.org/vmlinuz-6.1', `file://${served}`));
    const [inputs] = jsonOf('docs/caching.md');
    workspace.write('my-image/project.json', inputs!.replace('{', '{ "name": "my-image",'));
    workspace.updateJson<{ resources: unknown }>('my-image/igvm.json', (json) => {
      const digest = createHash('sha256').update(input('vmlinux-x64.elf')).digest('hex');
      json.resources = JSON.parse(resources!.replace(/[0-9a-f]{64}/, digest));
    });
    expect(await type('nx build my-image --outputStyle=static', 'docs/binaries.md')).toContain('kernel:fetch');
    const shown = JSON.parse(await workspace.nxOk('show', 'project', 'my-image', '--json')) as {
      targets: { build: { inputs: unknown[] } };
    };
    expect(shown.targets.build.inputs).toEqual(
      expect.arrayContaining([
        { env: 'IMAGE_FLAVOUR' },
        expect.objectContaining({ dependentTasksOutputFiles: expect.any(String) }),
      ]),
    );
  });

  it('run as written: the READMEs of generated projects', async () => {
    await reset();
    const { vmlinuz } = debianKernel();
    await workspace.nxOk('g', 'nx-igvm:initrd', 'initrd');
    await workspace.nxOk('g', 'nx-igvm:guest-image', 'my-image', `--kernel=${vmlinuz}`, '--initrd=initrd');
    await workspace.nxOk(
      'g',
      'nx-igvm:guest-image',
      'cvm',
      '--type=linux-paravisor',
      '--isolation=snp,tdx',
      '--initrd=none',
    );
    put('cvm/boot/openhcl-kernel', 'vmlinux-x64.elf');
    put('cvm/boot/openhcl_boot', 'openhcl_boot-x64.elf');
    put('cvm/boot/openhcl-initrd.cpio.gz', 'initrd-small.bin');
    put('cvm/boot/vmlinuz', 'vmlinux-x64.elf');
    for (const project of ['initrd', 'my-image', 'cvm']) {
      const readme = `${project}/README.md`;
      const snippets = snippetsOf(readme, workspace.read(readme).toString());
      for (const { language, text } of snippets) if (language === 'json') JSON.parse(text);
      const shell = snippets.filter(({ language }) => language === 'sh');
      expect([readme, shell.length]).toEqual([readme, 1]);
      await follow(shell, {});
    }
  });
});
