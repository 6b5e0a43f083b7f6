import { existsSync } from 'node:fs';
import { input } from './harness/inputs';
import { createNxWorkspace, workspaceWith } from './harness/package-managers';
import { NX_VERSIONS, template } from './harness/template';
import { Workspace } from './harness/workspace';

type ResourcePaths = Record<string, string>;

/** A substitute for each binary and architecture. */
const BINARIES: Record<'x64' | 'aarch64', ResourcePaths> = {
  x64: {
    linux_kernel: 'vmlinux-x64.elf',
    linux_initrd: 'initrd-small.bin',
    uefi: 'MSVM-x64-pe.fd',
    underhill_kernel: 'vmlinux-x64.elf',
    underhill_initrd: 'initrd-small.bin',
    openhcl_boot: 'openhcl_boot-x64.elf',
  },
  aarch64: {
    linux_kernel: 'Image-aarch64',
    linux_initrd: 'initrd-small.bin',
    uefi: 'MSVM-aarch64.fd',
    underhill_kernel: 'Image-aarch64',
    underhill_initrd: 'initrd-small.bin',
    openhcl_boot: 'openhcl_boot-aarch64.elf',
  },
};

/** Every type of image, with the options that a user gives. */
const IMAGES: Record<string, string[]> = {
  direct: [],
  'direct-vbs': ['--isolation=vbs', '--bootData=vmm'],
  'direct-smp': ['--processorCount=4', '--memorySize=1G'],
  'direct-arm': ['--arch=aarch64'],
  openhcl: ['--type=linux-paravisor'],
  'openhcl-cvm': ['--type=linux-paravisor', '--isolation=snp,tdx,vbs'],
  'openhcl-arm': ['--type=linux-paravisor', '--arch=aarch64'],
  firmware: ['--type=uefi'],
  'firmware-cvm': ['--type=uefi', '--isolation=tdx,snp'],
  'firmware-arm': ['--type=uefi', '--arch=aarch64'],
  'firmware-openhcl': ['--type=uefi', '--paravisor', '--isolation=snp'],
  enclave: ['--type=snp-linux-direct', '--processorCount=2'],
};

interface Manifest {
  guest_arch: 'x64' | 'aarch64';
  resources: ResourcePaths;
}

interface Target {
  inputs?: unknown[];
  outputs?: string[];
  metadata?: { description?: string; help?: { command?: string } };
}

interface Kind {
  /** The file that makes a folder a project. */
  file: 'project.json' | 'package.json';
  /** The folder for projects. */
  root: string;
  /** Names in IMAGES. `direct` must be among them. */
  images: string[];
  create(): Promise<Workspace>;
}

const FEW = ['direct', 'firmware-openhcl'];
const PACKAGE = { file: 'package.json', root: 'images/', images: FEW } as const;
const PROJECT = { file: 'project.json', root: '', images: FEW } as const;

/**
 * The kinds of workspaces: every package manager, every Nx, and those of create-nx-workspace. One of them has all types of images,
 * because these don't depend on the workspace.
 */
const WORKSPACES: Record<string, Kind> = {
  'npm, project.json': { ...PROJECT, images: Object.keys(IMAGES), create: () => Workspace.create() },
  'npm packages, Nx 21': { ...PACKAGE, create: () => workspaceWith('npm', NX_VERSIONS[21]) },
  'pnpm packages, Nx 22': { ...PACKAGE, create: () => workspaceWith('pnpm', NX_VERSIONS[22]) },
  'pnpm packages, Nx 24': { ...PACKAGE, create: () => workspaceWith('pnpm', NX_VERSIONS[24]) },
  'yarn packages in node_modules, Nx 23': {
    ...PACKAGE,
    create: () => workspaceWith('yarn, node_modules', NX_VERSIONS[23]),
  },
  'yarn packages with PnP, Nx 24': { ...PACKAGE, create: () => workspaceWith('yarn, PnP', NX_VERSIONS[24]) },
  'bun packages, Nx 23': { ...PACKAGE, create: () => workspaceWith('bun', NX_VERSIONS[23]) },
  'create-nx-workspace, preset ts': { ...PACKAGE, root: 'packages/', create: () => createNxWorkspace('ts') },
  'create-nx-workspace, preset apps': { ...PROJECT, create: () => createNxWorkspace('apps') },
};

describe('nx add', () => {
  it('registers only the plugin, and the entries that keep inferred lists', async () => {
    expect(template().log).toContain('Package nx-igvm added successfully');
    const workspace = await Workspace.create();
    try {
      // These two have no inferred targets.
      const executors = Object.keys(
        workspace.readJson<{ executors: object }>('node_modules/nx-igvm/executors.json').executors,
      ).filter((name) => !['reference-values', 'verify-report'].includes(name));
      expect(workspace.readJson('nx.json')).toEqual({
        neverConnectToCloud: true,
        plugins: ['nx-igvm'],
        targetDefaults: Object.fromEntries(executors.map((name) => [`nx-igvm:${name}`, {}])),
      });
      expect(workspace.readJson<{ devDependencies: object }>('package.json').devDependencies).toHaveProperty('nx-igvm');
      await workspace.commit('before');
      await workspace.nxOk('g', 'nx-igvm:init');
      expect(await workspace.git('status', '--porcelain')).toBe('');
    } finally {
      workspace.dispose();
    }
  });
});

describe.each(Object.entries(WORKSPACES))('a new user, %s', (_, { file, root, images, create }) => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await create();
  });
  afterAll(() => workspace?.dispose());

  it('generates images, adds the binaries, and builds', async () => {
    for (const name of images) {
      await workspace.nxOk('g', 'nx-igvm:guest-image', name, ...(IMAGES[name] ?? []));
      const manifest = workspace.readJson<Manifest>(`${root}${name}/igvm.json`);
      for (const [resource, path] of Object.entries(manifest.resources)) {
        workspace.write(`${root}${name}/${path}`, input(BINARIES[manifest.guest_arch][resource] as string));
      }
      expect(existsSync(workspace.path(`${root}${name}/${file}`))).toBe(true);
    }
    const output = await workspace.nxOk('run-many', '-t', 'build', '--outputStyle=static');
    for (const name of images) {
      expect(existsSync(workspace.path(`dist/${root}${name}/${name}.igvm`))).toBe(true);
    }
    expect(output).not.toContain('did you mean');
  });

  it('can see inputs, outputs and help of every target', async () => {
    const project = JSON.parse(await workspace.nxOk('show', 'project', 'direct', '--json')) as {
      targets: Record<string, Target>;
      metadata: { technologies: string[] };
    };
    expect(project.metadata.technologies).toContain('igvm');
    expect(Object.keys(project.targets)).toEqual(expect.arrayContaining(['build', 'boot']));
    for (const [name, target] of Object.entries(project.targets)) {
      expect([name, target.metadata?.description]).toEqual([name, expect.any(String)]);
      expect([name, target.metadata?.help?.command]).toEqual([name, expect.stringContaining('nx-igvm')]);
    }
    const build = project.targets['build'];
    expect(JSON.stringify(build?.inputs)).toContain(`{workspaceRoot}/${root}direct/boot/vmlinuz`);
    expect(build?.outputs).toContain('{options.outputPath}/direct.igvm');
  });

  it('packs an initramfs for an image', async () => {
    await workspace.nxOk('g', 'nx-igvm:initrd', 'initrd');
    await workspace.nxOk('g', 'nx-igvm:guest-image', 'packed', '--initrd=initrd', '--kernel=shared/vmlinux');
    workspace.write('shared/vmlinux', input('vmlinux-x64.elf'));
    workspace.updateJson<Manifest>(`${root}packed/igvm.json`, ({ resources }) => {
      resources['linux_kernel'] = '{workspaceRoot}/shared/vmlinux';
    });
    expect(await workspace.state('packed')).toBe('built');
    expect(await workspace.state('packed')).toBe('hit');
    workspace.write(`${root}initrd/rootfs/etc/motd`, 'changed\n');
    expect(await workspace.state('packed')).toBe('built');
  });

  it('imports a manifest of igvmfilegen', async () => {
    workspace.writeJson('legacy/manifest.json', {
      guest_arch: 'x64',
      guest_configs: [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { uefi: { config_type: 'none' } } }],
    });
    workspace.write('legacy/MSVM.fd', input('MSVM-x64-pe.fd'));
    workspace.writeJson('legacy/resources.json', { resources: { uefi: workspace.path('legacy/MSVM.fd') } });
    const options = ['--from=legacy/manifest.json', '--resources=legacy/resources.json'];
    await workspace.nxOk('g', 'nx-igvm:guest-image', 'adopted', ...options);
    expect(workspace.readJson<Manifest>(`${root}adopted/igvm.json`).resources).toEqual({
      uefi: '{workspaceRoot}/legacy/MSVM.fd',
    });
    expect(await workspace.state('adopted')).toBe('built');
  });

  it('gets an error in one sentence, with place and cure', async () => {
    const generated = await workspace.nx('g', 'nx-igvm:guest-image', 'direct');
    expect(generated.status).not.toBe(0);
    expect(generated.output).toContain(`${root}direct/igvm.json: this file already exists [GENERATOR_CONFLICT]`);
    workspace.updateJson<Record<string, unknown>>(`${root}direct/igvm.json`, (json) => {
      json['guest_arch'] = 'x46';
    });
    const built = await workspace.nx('build', 'direct');
    expect(built.status).not.toBe(0);
    expect(built.output).toMatch(/igvm\.json:3:\d+: .*"x64".*\[MANIFEST_INVALID\]/);
    for (const { output } of [generated, built]) expect(output).not.toMatch(/^\s+at .*\.js:\d+/m);
  });
});

describe('convert-to-inferred', () => {
  it('keeps the same targets, now inferred', async () => {
    const workspace = await Workspace.create();
    try {
      await workspace.nxOk('g', 'nx-igvm:guest-image', 'image', '--type=uefi');
      workspace.write('image/boot/MSVM.fd', input('MSVM-x64-pe.fd'));
      const show = async (): Promise<unknown> =>
        (JSON.parse(await workspace.nxOk('show', 'project', 'image', '--json')) as { targets: unknown }).targets;
      const inferred = await show();
      workspace.updateJson<{ targets: object }>('image/project.json', (json) => {
        json.targets = {
          build: {
            executor: 'nx-igvm:build',
            cache: true,
            inputs: ['{projectRoot}/**/*'],
            outputs: ['{options.outputPath}'],
            options: { manifest: '{projectRoot}/igvm.json', outputPath: 'dist/{projectRoot}' },
          },
        };
      });
      await workspace.nxOk('g', 'nx-igvm:convert-to-inferred');
      expect(workspace.readJson<{ targets: object }>('image/project.json').targets).toEqual({});
      expect(await show()).toEqual(inferred);
      expect(await workspace.state('image')).toBe('built');
    } finally {
      workspace.dispose();
    }
  });
});

describe('preset', () => {
  it('fills an empty workspace with an image and its initramfs', async () => {
    const workspace = await Workspace.create();
    try {
      await workspace.nxOk('g', 'nx-igvm:preset', 'my-images');
      workspace.write('guest-image/boot/vmlinuz', input('vmlinux-x64.elf'));
      expect(await workspace.state('guest-image')).toBe('built');
      await workspace.nxOk('g', 'nx-igvm:ci-workflow', '--ci=github');
      expect(workspace.read('.github/workflows/images.yml').toString()).toContain('npx nx affected -t build verify');
    } finally {
      workspace.dispose();
    }
  });
});
