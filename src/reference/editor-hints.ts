/**
 * The texts that editors offer to insert, by schema and key. `${1:…}` is a place to fill in. A text that begins with `^` is inserted without
 * quotes. A test inserts each of them, and checks the result with the schema and with the manifest's own checks.
 */
import { USUAL_PATHS } from '../manifest/resources-schema';
import type { JsonSchema, Snippet } from './describe-schema';

/** Additions to the schema of a key that zod generates. */
type Hint = Pick<JsonSchema, 'defaultSnippets' | 'examples'>;

const MIB = 2 ** 20;

/** Sizes with readable labels, in the unit of the key. */
const sizes = (mebibytes: readonly number[], unit: number): Snippet[] =>
  mebibytes.map((size) => ({
    label: `${(size * MIB) / unit} (${size < 1024 ? `${size} MiB` : `${size / 1024} GiB`})`,
    body: (size * MIB) / unit,
  }));

/** The forms of a resource, with the usual name of its file. */
const resource = (file: string): Hint => ({
  defaultSnippets: [
    { label: `"${file}"`, description: 'A file, relative to the manifest.', body: `\${1:${file}}` },
    {
      label: 'A pinned file',
      description: 'The build refuses content with any other SHA-256.',
      body: { path: `\${1:${file}}`, sha256: `\${2:${'0'.repeat(64)}}` },
    },
    {
      label: 'The output of another target',
      description: 'That target runs before the build. The path is from the root of the workspace.',
      body: { project: '${1:project}', target: '${2:build}', path: '${3:dist/project/file}' },
    },
    {
      label: 'A file from the web',
      description: 'Downloaded once, and refused unless it has this SHA-256.',
      body: {
        url: `\${1:https://example.org/${file.slice(file.lastIndexOf('/') + 1)}}`,
        sha256: `\${2:${'0'.repeat(64)}}`,
      },
    },
  ],
});

const PARAVISOR_SNP = {
  snp: {
    shared_gpa_boundary_bits: '^${1:46}',
    policy: '^${2:196639}',
    enable_debug: '^${3:false}',
    injection_type: '${4:normal}',
    secure_avic: '${5:enabled}',
  },
};
const DIRECT_SNP = {
  snp: {
    policy: '^${1:196608}',
    enable_debug: '^${2:false}',
    injection_type: '${3:normal}',
    secure_avic: '${4:disabled}',
  },
};
const TDX = { tdx: { enable_debug: '^${1:false}', sept_ve_disable: '^${2:true}' } };
const VBS = { vbs: { enable_debug: '^${1:false}' } };

const LINUX = {
  linux: {
    use_initrd: '^${1:true}',
    command_line: '${2:console=ttyS0 panic=-1}',
    boot_data: 'embedded',
    memory_size: '^${3:536870912}',
  },
};
const SNP_LINUX_DIRECT = {
  snp_linux_direct: {
    linux: { use_initrd: '^${1:true}', command_line: '${2:console=ttyS0 panic=-1}' },
    processor_count: '^${3:1}',
    memory_page_count: '^${4:131072}',
    c_bit_position: '^${5:51}',
  },
};
const VTL0_LINUX = { use_initrd: '^${1:true}', command_line: '${2:console=ttyS0 panic=-1}' };
const OPENHCL_LINUX = {
  openhcl: { command_line: '', memory_page_base: 32768, memory_page_count: 131072, linux: VTL0_LINUX },
};

const OVMF = { ovmf: { secure_boot: { hashes: true } } };

const guest = (maxVtl: number, isolation: unknown, image: unknown) => ({
  guest_svn: 1,
  max_vtl: maxVtl,
  isolation_type: isolation,
  image,
});

const GUESTS: Snippet[] = [
  {
    label: 'Linux, without isolation',
    description:
      'A kernel that starts directly, on any VMM that loads native IGVM files. It is the only guest of its file.',
    body: guest(0, 'none', LINUX),
  },
  {
    label: 'Linux under SEV-SNP, without a paravisor',
    description: 'A kernel that starts directly. It is the only guest of its file.',
    body: guest(0, DIRECT_SNP, SNP_LINUX_DIRECT),
  },
  { label: 'OpenHCL with Linux, under SEV-SNP', body: guest(2, PARAVISOR_SNP, OPENHCL_LINUX) },
  { label: 'OpenHCL with Linux, under TDX', body: guest(2, TDX, OPENHCL_LINUX) },
  { label: 'OpenHCL with Linux, under VBS', body: guest(2, VBS, OPENHCL_LINUX) },
];

const IMAGES: Snippet[] = [
  {
    label: 'linux: a kernel, started directly',
    description: 'Without isolation or under VBS. Its command line and memory map are in the image.',
    body: LINUX,
  },
  {
    label: 'snp_linux_direct: a kernel, started directly under SEV-SNP',
    description: 'Processors and memory are measured.',
    body: SNP_LINUX_DIRECT,
  },
  { label: 'openhcl: the paravisor, with Linux in VTL0', body: OPENHCL_LINUX },
  {
    label: 'openhcl: the paravisor, with UEFI firmware in VTL0',
    body: { openhcl: { command_line: '', memory_page_base: 32768, memory_page_count: 131072, uefi: true } },
  },
  { label: 'uefi: UEFI firmware', body: { uefi: { config_type: '${1:none}' } } },
  {
    label: 'ovmf: UEFI firmware of edk2, with programs in the image',
    description: 'For guests without isolation and under SEV-SNP, which may share a file.',
    body: OVMF,
  },
  { label: 'none: nothing', body: 'none' },
];

const ISOLATION: Snippet[] = [
  { label: 'none: no isolation', body: 'none' },
  {
    label: 'snp: AMD SEV-SNP, with a paravisor',
    description:
      'The policy 196639 (0x3001f) allows SMT, and needs the ABI 0.31 of the firmware. The boundary is at 2^46.',
    body: PARAVISOR_SNP,
  },
  {
    label: 'snp: AMD SEV-SNP, for snp_linux_direct',
    description: 'The policy 196608 (0x30000) allows SMT, with any ABI of the firmware.',
    body: DIRECT_SNP,
  },
  { label: 'tdx: Intel TDX', body: TDX },
  { label: 'vbs: isolation by the hypervisor (VBS)', body: VBS },
];

const UEFI_POLICY = {
  require_ephemeral_vmgs: false,
  require_secure_boot: '^${1:true}',
  require_secure_boot_vars: false,
  require_bcd_integrity: false,
  custom_uefi_json: '',
};

const COMMAND_LINES = ['console=ttyS0 panic=-1', 'console=ttyAMA0 panic=-1'];

const MANIFEST: Record<string, Hint> = {
  $schema: { examples: ['../node_modules/nx-igvm/schemas/igvm.schema.json'] },
  'guest_configs[]': { defaultSnippets: GUESTS },
  'guest_configs[].guest_svn': { examples: [1] },
  'guest_configs[].isolation_type': { defaultSnippets: ISOLATION },
  'guest_configs[].isolation_type.vbs': { defaultSnippets: [{ label: 'vbs', body: VBS.vbs }] },
  'guest_configs[].isolation_type.snp': {
    defaultSnippets: [
      { label: 'With a paravisor', body: PARAVISOR_SNP.snp },
      { label: 'For snp_linux_direct', body: DIRECT_SNP.snp },
    ],
  },
  'guest_configs[].isolation_type.snp.shared_gpa_boundary_bits': {
    defaultSnippets: [
      { label: '46', description: 'What Hyper-V uses for guests with a paravisor.', body: 46 },
      { label: '39', description: 'What Hyper-V uses for UEFI firmware without one.', body: 39 },
      { label: 'null', description: 'No boundary, for snp_linux_direct.', body: null },
    ],
  },
  'guest_configs[].isolation_type.snp.policy': {
    defaultSnippets: [
      {
        label: '196639 (0x3001f)',
        description: 'SMT is allowed, the ABI of the firmware is 0.31 or newer.',
        body: 196639,
      },
      { label: '196608 (0x30000)', description: 'SMT is allowed, with any ABI of the firmware.', body: 196608 },
      { label: '131072 (0x20000)', description: 'No SMT, with any ABI of the firmware.', body: 131072 },
    ],
  },
  'guest_configs[].isolation_type.tdx': { defaultSnippets: [{ label: 'tdx', body: TDX.tdx }] },
  'guest_configs[].image': { defaultSnippets: IMAGES },
  'guest_configs[].image.uefi': { defaultSnippets: [{ label: 'uefi', body: { config_type: '${1:none}' } }] },
  'guest_configs[].image.openhcl': {
    defaultSnippets: [
      { label: 'With Linux in VTL0', body: OPENHCL_LINUX.openhcl },
      { label: 'With UEFI firmware in VTL0', body: { memory_page_base: 32768, memory_page_count: 131072, uefi: true } },
    ],
  },
  'guest_configs[].image.openhcl.memory_page_base': {
    defaultSnippets: [
      { label: '32768 (128 MiB)', description: 'For isolated guests, whose addresses are measured.', body: 32768 },
      { label: 'null', description: 'The VMM may move the image.', body: null },
    ],
  },
  'guest_configs[].image.openhcl.memory_page_count': { defaultSnippets: sizes([256, 512, 1024], 4096) },
  'guest_configs[].image.openhcl.linux': { defaultSnippets: [{ label: 'linux', body: VTL0_LINUX }] },
  'guest_configs[].image.openhcl.linux.command_line': { examples: COMMAND_LINES },
  'guest_configs[].image.openhcl.product_policy': {
    defaultSnippets: [
      { label: 'sivm', body: { sivm: UEFI_POLICY } },
      { label: 'cwcow', body: { cwcow: { ...UEFI_POLICY, require_secure_avic: false } } },
    ],
  },
  'guest_configs[].image.openhcl.product_policy.sivm': { defaultSnippets: [{ label: 'sivm', body: UEFI_POLICY }] },
  'guest_configs[].image.openhcl.product_policy.cwcow': {
    defaultSnippets: [{ label: 'cwcow', body: { ...UEFI_POLICY, require_secure_avic: false } }],
  },
  'guest_configs[].image.ovmf': {
    defaultSnippets: [
      { label: 'As it is', body: {} },
      { label: 'With Secure Boot for the programs of the image', body: OVMF.ovmf },
    ],
  },
  'guest_configs[].image.ovmf.secure_boot': {
    defaultSnippets: [
      { label: 'For the programs of the image', body: OVMF.ovmf.secure_boot },
      { label: 'null', description: 'Without Secure Boot.', body: null },
    ],
  },
  'guest_configs[].image.linux': { defaultSnippets: [{ label: 'linux', body: LINUX.linux }] },
  'guest_configs[].image.linux.command_line': { examples: COMMAND_LINES },
  'guest_configs[].image.linux.memory_size': { defaultSnippets: sizes([256, 512, 1024, 2048], 1) },
  'guest_configs[].image.linux.processor_count': { examples: [1, 2, 4] },
  'guest_configs[].image.snp_linux_direct': {
    defaultSnippets: [{ label: 'snp_linux_direct', body: SNP_LINUX_DIRECT.snp_linux_direct }],
  },
  'guest_configs[].image.snp_linux_direct.linux': { defaultSnippets: [{ label: 'linux', body: VTL0_LINUX }] },
  'guest_configs[].image.snp_linux_direct.linux.command_line': { examples: COMMAND_LINES },
  'guest_configs[].image.snp_linux_direct.processor_count': { examples: [1, 2, 4] },
  'guest_configs[].image.snp_linux_direct.memory_page_count': { defaultSnippets: sizes([256, 512, 1024, 2048], 4096) },
  'guest_configs[].image.snp_linux_direct.c_bit_position': { examples: [51] },
  launches: {
    defaultSnippets: [
      { label: 'Hyper-V', body: [{ vmm: 'hyperv' }] },
      {
        label: 'QEMU on KVM',
        description: 'A digest for each number of vCPUs with each processor.',
        body: [{ vmm: 'qemu-kvm', vcpus: ['^${1:1}', '^${2:2}'], cpu: ['${3:EPYC-Milan}'] }],
      },
      { label: 'Cloud Hypervisor on KVM', body: [{ vmm: 'cloud-hypervisor-kvm', vcpus: ['^${1:1}'] }] },
    ],
  },
  'launches[].vcpus': { examples: [[1], [1, 2, 4]] },
  'launches[].cpu': { examples: [['EPYC-Milan'], ['EPYC-Genoa'], ['25/1/1']] },
  boot_test: {
    defaultSnippets: [
      {
        label: 'Until the guest prints a text',
        body: { until: '${1:guest is up}', timeout: '^${2:120}' },
      },
      { label: 'Until the guest ends', body: { timeout: '^${1:120}' } },
    ],
  },
  'boot_test.until': { examples: ['guest is up', '^login:'] },
  'boot_test.timeout': { examples: [120] },
  resources: {
    defaultSnippets: [
      {
        label: 'A kernel and the initramfs of another project',
        body: {
          linux_kernel: '${1:boot/vmlinuz}',
          linux_initrd: { project: '${2:initrd}', target: 'build', path: '${3:dist/initrd/initrd.cpio}' },
        },
      },
      {
        label: 'A kernel and an initrd',
        body: { linux_kernel: '${1:boot/vmlinuz}', linux_initrd: '${2:boot/initrd.cpio}' },
      },
      {
        label: 'OpenHCL with Linux in VTL0',
        body: {
          underhill_kernel: '${1:boot/openhcl-kernel}',
          openhcl_boot: '${2:boot/openhcl_boot}',
          underhill_initrd: '${3:boot/openhcl-initrd.cpio.gz}',
          linux_kernel: '${4:boot/vmlinux}',
          linux_initrd: '${5:boot/initrd.cpio}',
        },
      },
    ],
  },
  ...Object.fromEntries(Object.entries(USUAL_PATHS).map(([name, path]) => [`resources.${name}`, resource(path)])),
};

const INITRD: Record<string, Hint> = {
  $schema: { examples: ['../node_modules/nx-igvm/schemas/initrd.schema.json'] },
  image: {
    defaultSnippets: [
      { label: '"app.tar"', description: 'An archive, or the folder of an OCI layout.', body: '${1:app.tar}' },
      {
        label: 'The output of another target',
        description: 'That target runs before the build. The path is from the root of the workspace.',
        body: { project: '${1:app}', target: '${2:image}', path: '${3:dist/app.tar}' },
      },
    ],
  },
  command: { examples: [['node', 'server.js']] },
  environment: { defaultSnippets: [{ label: 'PORT', body: { '${1:PORT}': '${2:8080}' } }] },
  modules: { examples: [['boot/virtio_net.ko']] },
  network: {
    defaultSnippets: [
      {
        label: "QEMU's user network",
        body: { address: '${1:10.0.2.15/24}', gateway: '${2:10.0.2.2}', nameservers: ['${3:10.0.2.3}'] },
      },
    ],
  },
  'network.address': { examples: ['10.0.2.15/24'] },
  'network.gateway': { examples: ['10.0.2.2'] },
  'network.nameservers': { examples: [['10.0.2.3']] },
  directories: { examples: [['proc', 'sys', 'dev']] },
  devices: {
    defaultSnippets: [{ label: 'The console', body: [{ path: '/dev/console', type: 'char', major: 5, minor: 1 }] }],
  },
  'devices[]': {
    defaultSnippets: [
      { label: '/dev/console', body: { path: '/dev/console', type: 'char', major: 5, minor: 1 } },
      { label: '/dev/null', body: { path: '/dev/null', type: 'char', major: 1, minor: 3, mode: '666' } },
      { label: '/dev/ttyS0', body: { path: '/dev/ttyS0', type: 'char', major: 4, minor: 64 } },
    ],
  },
  'devices[].path': { examples: ['/dev/console', '/dev/null', '/dev/ttyS0'] },
  'devices[].mode': { examples: ['600', '666'] },
  symlinks: { defaultSnippets: [{ label: 'bin/sh', body: { '${1:bin/sh}': '${2:busybox}' } }] },
  modes: { defaultSnippets: [{ label: 'root', body: { '${1:root}': '${2:700}' } }] },
};

const target = (label: string, body: unknown): Snippet => ({ label, body });

/** The possible values for a kind of target. */
const KIND = (name: string): Hint => ({
  defaultSnippets: [
    { ...target(`"${name}"`, `\${1:${name}}`), description: 'Another name for the target.' },
    { ...target('false', false), description: 'No such target.' },
    { ...target('An extension', { options: {} }), description: 'Changes to the target, key by key.' },
  ],
});

const PLUGIN_OPTIONS: Record<string, Hint> = {
  build: {
    defaultSnippets: [
      ...(KIND('build').defaultSnippets ?? []),
      target('Unknown keys of a manifest are errors', { options: { strict: true } }),
      target('Images in a folder of their own', { options: { outputPath: 'images/{imageName}' } }),
      target('Another input', { inputs: ['...', '{projectRoot}/${1:file}'] }),
    ],
  },
  fetch: KIND('fetch'),
  inspect: KIND('inspect'),
  measure: KIND('measure'),
  verify: KIND('verify'),
  sign: KIND('sign'),
  boot: KIND('boot'),
  'boot-test': {
    defaultSnippets: [
      ...(KIND('boot-test').defaultSnippets ?? []),
      target('For every image that boots here', { options: { until: '${1:guest is up}', timeout: '^${2:120}' } }),
    ],
  },
  initrd: KIND('initrd'),
  resourceTargets: { examples: [['compile'], ['kernel:compile']] },
};

const RESOURCES: Record<string, Hint> = {
  $schema: { examples: ['../node_modules/nx-igvm/schemas/resources.schema.json'] },
  resources: {
    defaultSnippets: [
      {
        label: 'A kernel and an initrd',
        body: { linux_kernel: '${1:/opt/boot/vmlinuz}', linux_initrd: '${2:/opt/boot/initrd.cpio}' },
      },
    ],
  },
  ...Object.fromEntries(
    Object.entries(USUAL_PATHS).map(([name, path]) => [`resources.${name}`, { examples: [`/opt/${path}`] }]),
  ),
};

/** The hints for each schema, by the name of its file. Locks have none, because nobody writes them by hand. */
export const HINTS: Record<string, Record<string, Hint>> = {
  igvm: MANIFEST,
  initrd: INITRD,
  'plugin-options': PLUGIN_OPTIONS,
  resources: RESOURCES,
};
