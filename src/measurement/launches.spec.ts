import { type Directive, type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, PLATFORM_TYPE } from '../igvm/model';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { Vmsa, type VmsaFieldName } from '../vp-context/vmsa';
import { parseCpu } from './kvm-vmsa';
import { launchesOf, launchesOfOptions, launchLabel, launchName, launchRequest } from './launches';
import { type LaunchRequest } from '../manifest/model';
import { measure, measureLaunches } from './measure';
import { fileOf, hex, MASK, platform, run } from './measured-guest.fixture';

const KVM_GPA = 0xfffffffff000;

/** A context that every VMM accepts, with changes. */
function context(changes: Partial<Record<VmsaFieldName, bigint>> = {}, vpIndex = 0, gpa = KVM_GPA): Directive {
  const vmsa = new Vmsa();
  const usual = { sevFeatures: 1n, efer: 0x1000n, cr0: 0x10n, xcr0: 1n, dr7: 0x400n, rip: 0x1234n };
  for (const [name, value] of Object.entries({ ...usual, ...changes })) vmsa.set(name as VmsaFieldName, value);
  return { type: 'vpContext', format: 'snp', gpa, compatibilityMask: MASK.snp, vpIndex, data: vmsa.page };
}

/** A file for SEV-SNP alone. */
const snp = (directives: Directive[], changes: Partial<IgvmFile> = {}): IgvmFile => ({
  ...fileOf(directives),
  platforms: [platform(MASK.snp, PLATFORM_TYPE.SEV_SNP)],
  ...changes,
});

const page = run(0x10);
const QEMU: LaunchRequest = { vmm: 'qemu-kvm', vcpus: [1] };
const CLOUD_HYPERVISOR: LaunchRequest = { vmm: 'cloud-hypervisor-kvm', vcpus: [1] };

/** Digests in the order of the launches, or the reasons for refusals. */
async function outcomes(file: IgvmFile, ...requests: LaunchRequest[]): Promise<string[]> {
  const launches = requests.flatMap(launchesOf);
  const { measurements, refusals } = await measureLaunches(file, { platforms: ['snp'], launches });
  return launches.map((launch) => {
    const found = measurements.find((each) => each.launch === launch);
    return found === undefined
      ? refusals.flatMap((each) => (each.launch === launch ? [each.reason] : [])).join('; ')
      : hex(found.digest);
  });
}

describe('a launch', () => {
  it('exists for each combination of vCPU count and processor', () => {
    const launches = launchesOf({ vmm: 'qemu-kvm', vcpus: [1, 2], cpu: ['EPYC', '0x00a00f11'] });
    expect(launches.map(launchLabel)).toEqual([
      'QEMU with KVM, 1 vCPU, EPYC',
      'QEMU with KVM, 1 vCPU, 0x00a00f11',
      'QEMU with KVM, 2 vCPUs, EPYC',
      'QEMU with KVM, 2 vCPUs, 0x00a00f11',
    ]);
  });

  it('is parsed from options as users write them', () => {
    expect(launchesOfOptions({})).toEqual([{ vmm: 'hyperv' }]);
    const counts = (vcpus: string | number | number[]) =>
      launchesOfOptions({ vmm: 'cloud-hypervisor-kvm', vcpus }).map((launch) => launch.vcpus);
    expect([counts('1, 2,4'), counts(3), counts([5])]).toEqual([[1, 2, 4], [3], [5]]);
  });

  it.each<[string, LaunchRequest, string]>([
    ['an unknown VMM', { vmm: 'xen' }, '"xen" is not a VMM (known: hyperv, qemu-kvm,'],
    ['the former kvm', { vmm: 'kvm' }, '"qemu-kvm" and "cloud-hypervisor-kvm"'],
    ['a vCPU count that does not affect the digest', { vmm: 'hyperv', vcpus: [1] }, 'does not depend on a vCPU count'],
    [
      'a processor that does not affect the digest',
      { ...CLOUD_HYPERVISOR, cpu: ['EPYC'] },
      'does not depend on a processor',
    ],
    ['no vCPU', { vmm: 'qemu-kvm', vcpus: [0] }, '0 is not a valid vCPU count'],
    ['too many vCPUs', { vmm: 'qemu-kvm', vcpus: [4097] }, '4097 is not a valid vCPU count'],
    ['an unknown processor', { ...QEMU, cpu: ['constructor'] }, '"constructor" is not a processor (known: EPYC,'],
    ['the processor of the host', { ...QEMU, cpu: ['host'] }, "give the processor's signature"],
  ])('cannot have %s', (_, request, message) => {
    expect(() => launchesOf(request)).toThrow(message);
  });
});

describe('a processor', () => {
  it('is a QEMU model in any version, a signature, or family, model and stepping', () => {
    const signatures = ['EPYC-v4', 'EPYC-Rome', 'EPYC-Milan-v2', 'EPYC-Genoa', 'EPYC-Turin', '0xA00F11', '25/1/1'];
    expect(signatures.map((name) => parseCpu(name).signature)).toEqual([
      0x00800f12, 0x00830f10, 0x00a00f11, 0x00a10f10, 0x00b00f00, 0x00a00f11, 0x00a00f11,
    ]);
    expect(parseCpu('0x17/0x31/0').signature).toBe(0x00830f10);
  });
});

describe('the digest on KVM', () => {
  const file = snp([context(), page]);

  it('depends on the vCPU count and, on QEMU, on the processor of vCPUs without a context', async () => {
    const [one, oneMilan, twoEpyc, twoMilan] = await outcomes(
      file,
      QEMU,
      { ...QEMU, cpu: ['EPYC-Milan'] },
      { vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC', 'EPYC-Milan'] },
    );
    expect(one).toBe(oneMilan);
    expect(new Set([one, twoEpyc, twoMilan]).size).toBe(3);
    const counts = await outcomes(file, { vmm: 'cloud-hypervisor-kvm', vcpus: [1, 2, 64] });
    expect(new Set(counts).size).toBe(3);
  });

  it('is that of one vCPU for any count if the kernel measures only the first', async () => {
    const [one, many] = await outcomes(file, QEMU, { vmm: 'qemu-kvm', vcpus: [8], kvmMode: 'bsp-only' });
    expect(many).toBe(one);
  });

  it.each<[string, IgvmFile, LaunchRequest]>([
    ['a vCPU has no context', file, { vmm: 'qemu-kvm', vcpus: [2] }],
    ['CR4 has bits that not every model has', snp([context({ cr4: 1n << 11n }), page]), QEMU],
  ])('is unknown without the processor when %s', async (_, image, request) => {
    await expect(outcomes(image, request)).rejects.toMatchObject({ code: 'LAUNCH_INVALID' });
  });

  it('leaves out CR4 bits that the model lacks, on QEMU', async () => {
    const withUmip = snp([context({ cr4: 1n << 11n }), page]);
    const [epyc, milan] = await outcomes(withUmip, { ...QEMU, cpu: ['EPYC', 'EPYC-Milan'] });
    expect(epyc).toBe((await outcomes(file, QEMU))[0]);
    expect(milan).not.toBe(epyc);
  });

  it('covers the VMSAs last, in the order of the vCPUs, wherever they are in the file', async () => {
    const second = context({ rip: 0x9999n }, 1);
    const two = { vmm: 'qemu-kvm', vcpus: [2] };
    const [digest] = await outcomes(snp([context(), second, page]), two);
    expect(await outcomes(snp([second, page, context()]), two)).toEqual([digest]);
    expect(await outcomes(snp([context(), page, second]), { vmm: 'hyperv' })).not.toEqual(
      await outcomes(snp([context(), second, page]), { vmm: 'hyperv' }),
    );
  });

  const area = (index: number): Directive => ({
    type: 'parameterArea',
    index,
    size: PAGE_SIZE,
    initialData: EMPTY_SOURCE,
  });
  const insert = (index: number): Directive => ({
    type: 'parameterInsert',
    index,
    gpa: (0x80 + index) * PAGE_SIZE,
    compatibilityMask: MASK.snp,
  });

  it('covers parameter areas before the run of pages that QEMU is collecting', async () => {
    const [a, b] = [run(0x20), run(0x21)];
    const [digest] = await outcomes(snp([context(), area(0), a, insert(0), b]), QEMU);
    expect(await outcomes(snp([context(), area(0), insert(0), a, b]), QEMU)).toEqual([digest]);
    // An adjacent page continues the run. A page of another type doesn't.
    const first = [area(0), insert(0), run(0x20), run(0x21)];
    const [adjacent] = await outcomes(snp([context(), ...first]), QEMU);
    expect(await outcomes(snp([context(), area(0), run(0x20), run(0x21), insert(0)]), QEMU)).toEqual([adjacent]);
    const apart = [run(0x20), run(0x21, { flags: PAGE_FLAG.UNMEASURED })];
    const [afterFirst] = await outcomes(snp([context(), area(0), apart[0]!, insert(0), apart[1]!]), QEMU);
    expect(await outcomes(snp([context(), area(0), ...apart, insert(0)]), QEMU)).not.toEqual([afterFirst]);
  });

  it('counts a page of 2 MiB as 512 on QEMU, and as one on Cloud Hypervisor', async () => {
    const large = run(0x200, { flags: PAGE_FLAG.IS_2MB_PAGE, content: EMPTY_SOURCE });
    const small = (pageCount: number) => run(0x200, { pageCount, content: EMPTY_SOURCE });
    const both = [QEMU, CLOUD_HYPERVISOR, { vmm: 'hyperv' }, { vmm: 'vanadium' }];
    const [qemu, cloud, hyperv, vanadium] = await outcomes(snp([context(), large]), ...both);
    const [qemu512, , hyperv512, vanadium512] = await outcomes(snp([context(), small(512)]), ...both);
    expect([qemu, hyperv, vanadium]).toEqual([qemu512, hyperv512, vanadium512]);
    expect(await outcomes(snp([context(), small(1)]), CLOUD_HYPERVISOR)).toEqual([cloud]);
  });
});

describe('a file that a VMM does not load', () => {
  const corim: Partial<IgvmFile> = {
    initializations: [
      { type: 'guestPolicy', policy: 0x30000n, compatibilityMask: MASK.snp },
      { type: 'corimDocument', compatibilityMask: MASK.snp, content: bytesSource(new Uint8Array(8)) },
    ],
  };
  const parameter = (kind: 'slit' | 'madt' | 'commandLine'): Directive[] => [
    { type: 'parameterArea', index: 0, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
    { type: 'parameter', kind, index: 0, byteOffset: 0 },
  ];

  it.each<[string, IgvmFile, LaunchRequest, string]>([
    ['a CoRIM', snp([context()], corim), QEMU, '(0x104); build it without one: "embed_corim": false'],
    ['a CoRIM', snp([context()], corim), CLOUD_HYPERVISOR, 'Cloud Hypervisor refuses this file: it does not know the'],
    ['a SLIT', snp([context(), ...parameter('slit')]), QEMU, 'the parameter slit (0x30f)'],
    ['a command line', snp([context(), ...parameter('commandLine')]), QEMU, 'commandLine (0x30e)'],
    ['a MADT', snp([context(), ...parameter('madt')]), CLOUD_HYPERVISOR, 'madt (0x309)'],
    [
      'an error range',
      snp([context(), { type: 'errorRange', gpa: 0, size: PAGE_SIZE, compatibilityMask: MASK.snp }]),
      QEMU,
      'error range (0x30d)',
    ],
    ['a VMSA elsewhere', snp([context({}, 0, 0x7000)]), QEMU, 'its GPA is 0x7000'],
    ['a context without vCPU', snp([context(), context({}, 3)]), QEMU, 'launch with 4 vCPUs or more (GPA'],
    ['no SEV-SNP in SEV_FEATURES', snp([context({ sevFeatures: 0n })]), QEMU, 'lacks bit 0'],
    ['other SEV_FEATURES', snp([context({ sevFeatures: 9n })]), CLOUD_HYPERVISOR, 'bits that KVM does not offer: 0x8'],
    ['a VMPL', snp([context({ vmpl: 1n })]), QEMU, 'at byte 0xca of the VMSA'],
    ['breakpoints', snp([context({ dr7: 0x701n })]), QEMU, 'DR7 is 0x701'],
    ['no x87 in XCR0', snp([context({ xcr0: 0n })]), QEMU, 'XCR0 0x0'],
    ['AVX without SSE', snp([context({ xcr0: 5n })]), QEMU, 'XCR0 0x5'],
    ['unknown CR4 bits', snp([context({ cr4: 1n << 12n })]), QEMU, 'the CR4 bits 0x1000'],
    [
      'CR4 bits of an unknown model',
      snp([context({ cr4: 1n << 22n })]),
      { ...QEMU, cpu: ['0x00a20f10'] },
      'name the model',
    ],
    ['long mode without PAE', snp([context({ cr0: 0x80000001n, efer: 0x1500n })]), QEMU, 'needs EFER.LMA and CR4.PAE'],
    ['LMA without paging', snp([context({ efer: 0x1400n })]), CLOUD_HYPERVISOR, 'need EFER.LME and paging'],
    [
      'a page of the extended state',
      snp([context(), run(1, { dataType: PAGE_DATA_TYPE.CPUID_XF })]),
      CLOUD_HYPERVISOR,
      'pages of type CPUID_XF',
    ],
    ['other platforms', fileOf([context()]), CLOUD_HYPERVISOR, 'it has platforms other than SEV-SNP'],
    ['anything, on a VMM with unknown rules', snp([context()]), { vmm: 'openvmm-kvm' }, 'no digest for openvmm-kvm: '],
  ])('because of %s has a reason instead of a digest', async (_, file, request, reason) => {
    expect(await outcomes(file, request)).toEqual([expect.stringContaining(reason)]);
  });

  it('may add a page twice, which KVM refuses: then both the digest and the refusal are reported', async () => {
    const twice = snp([context(), page, run(0x10)]);
    const report = await measureLaunches(twice, { launches: launchesOf(CLOUD_HYPERVISOR) });
    expect(report.refusals[0]?.reason).toContain('it adds a page twice (GPA 0x10000-0x11000)');
    expect(report.measurements[0]?.warnings).toEqual(['KVM refuses this launch, so no guest reports this digest']);
    await expect(measure(twice, { launches: launchesOf(CLOUD_HYPERVISOR) })).rejects.toMatchObject({
      code: 'MEASUREMENT_REFUSED',
    });
  });

  it('is refused with all reasons at once', async () => {
    const launches = launchesOf(QEMU);
    const file = snp([context({ vmpl: 1n, dr7: 1n }), ...parameter('slit')], corim);
    const { measurements, refusals } = await measureLaunches(file, { launches });
    expect({ measurements, count: refusals.length }).toEqual({ measurements: [], count: 4 });
  });

  it('may be for platforms that QEMU and Cloud Hypervisor never launch from an IGVM file', async () => {
    const { refusals } = await measureLaunches(fileOf([]), { platforms: ['tdx', 'vbs'], launches: launchesOf(QEMU) });
    expect(refusals.map(({ platform: name, reason }) => `${name}: ${reason}`)).toEqual([
      'tdx: QEMU launches no TDX guests from IGVM files',
      'vbs: QEMU launches no VBS guests from IGVM files',
    ]);
  });
});

describe('a report about launches', () => {
  it('warns about contexts without a vCPU, and about the base that QEMU gives TR', async () => {
    const odd = new Vmsa();
    for (const [name, value] of [
      ['sevFeatures', 1n],
      ['cr0', 0x10n],
      ['xcr0', 1n],
    ] as const)
      odd.set(name, value);
    odd.setSegment('tr', { selector: 0, attributes: 0x8b, limit: 0xffff, base: 0x9000n });
    const own = { ...context(), data: odd.page } as Directive;
    const report = await measureLaunches(snp([own, context({}, 3), page]), {
      launches: [
        { vmm: 'cloud-hypervisor-kvm', vcpus: 1 },
        ...launchesOf({ vmm: 'qemu-kvm', vcpus: [4], cpu: ['EPYC'] }),
      ],
    });
    expect(report.measurements.map(({ warnings }) => warnings)).toEqual([
      ['Cloud Hypervisor leaves out the context of vCPU 3'],
      [expect.stringContaining('QEMU gives TR of vCPU 0 the base of LDTR')],
    ]);
  });

  it.each<[string, Directive[], Partial<IgvmFile>, string]>([
    [
      'an area of no size',
      [
        { type: 'parameterArea', index: 0, size: 0, initialData: EMPTY_SOURCE },
        { type: 'parameterInsert', index: 0, gpa: 0x5000, compatibilityMask: MASK.snp },
      ],
      {},
      'it inserts an empty parameter area (GPA 0x5000-0x6000)',
    ],
    [
      'a header of a later version',
      [{ type: 'unknown', headerType: 0x8000_0320, data: new Uint8Array(8) }],
      {},
      'it does not know the header unknown header (0x80000320)',
    ],
    [
      'two pages of 2 MiB that overlap',
      [run(0x200, { pageCount: 2, flags: PAGE_FLAG.IS_2MB_PAGE, content: EMPTY_SOURCE })],
      {},
      'it adds a page twice (GPA 0x201000-0x202000)',
    ],
  ])('gives the reason why QEMU does not launch %s', async (_, directives, changes, reason) => {
    const report = await measureLaunches(snp([context(), ...directives], changes), { launches: launchesOf(QEMU) });
    expect(report.refusals.map((each) => each.reason)).toContainEqual(expect.stringContaining(reason));
  });

  it('has a name for every launch', () => {
    const [first] = launchesOf({ vmm: 'qemu-kvm', vcpus: [8], kvmMode: 'bsp-only' });
    expect(first && launchLabel(first)).toBe('QEMU with KVM, 8 vCPUs, only the first vCPU measured');
    expect(launchLabel({ vmm: 'openvmm-kvm' })).toBe('openvmm-kvm');
  });

  it('refuses platforms that a VMM does not launch', async () => {
    const report = await measureLaunches(fileOf([]), { platforms: ['tdx'], launches: [{ vmm: 'openvmm-kvm' }] });
    expect(report.refusals[0]?.reason).toBe('openvmm-kvm launches no TDX guests from IGVM files');
    expect(report.measurements).toEqual([]);
  });

  it.each([
    ['14/1/1', 'is not a processor'],
    ['25/1', 'is not a processor'],
    ['25/300/1', 'is not a processor'],
    ['max', 'for -cpu max give'],
  ])('refuses the processor %s', (cpu, message) => {
    expect(() => parseCpu(cpu)).toThrow(message);
    expect(parseCpu('EPYC-IBPB').signature).toBe(0x00800f12);
    expect(parseCpu('0x00123456').drops).toBeUndefined();
  });

  it('is about one vCPU if a launch states no count', async () => {
    const file = snp([context(), page]);
    const launches = [{ vmm: 'qemu-kvm' }, { vmm: 'cloud-hypervisor-kvm' }] as const;
    const { measurements } = await measureLaunches(file, { launches });
    expect(measurements.map(({ digest }) => hex(digest))).toEqual(await outcomes(file, QEMU, CLOUD_HYPERVISOR));
    const without = snp([context({}, 1), page]);
    const { refusals } = await measureLaunches(without, { launches: [launches[0]] });
    expect(refusals[0]?.reason).toContain('launch with 2 vCPUs or more');
  });

  it('has parameter areas before the pages without data at the end of a run, which are a separate run', async () => {
    const half = run(0x20, { pageCount: 2, content: bytesSource(new Uint8Array(PAGE_SIZE).fill(1)) });
    const [stored, empty] = [{ ...half, pageCount: 1 }, run(0x21, { content: EMPTY_SOURCE })];
    const area: Directive = { type: 'parameterArea', index: 0, size: PAGE_SIZE, initialData: EMPTY_SOURCE };
    const insert: Directive = { type: 'parameterInsert', index: 0, gpa: 0x90000, compatibilityMask: MASK.snp };
    const [digest] = await outcomes(snp([context(), area, half, insert]), QEMU);
    expect(await outcomes(snp([context(), area, stored, empty, insert]), QEMU)).toEqual([digest]);
    expect(await outcomes(snp([context(), area, stored, insert, empty]), QEMU)).not.toEqual([digest]);
  });

  it('refuses an invalid count', () => {
    expect(() => launchesOfOptions({ vmm: 'qemu-kvm', vcpus: '1,two' })).toThrow('not a list of vCPU counts');
    expect(launchesOfOptions({ vmm: 'qemu-kvm', cpu: 'EPYC,EPYC-Rome' })).toHaveLength(2);
    expect(() => launchesOf({ vmm: 'hyperv', kvmMode: 'bsp-only' })).toThrow('a KVM mode');
  });
});

describe('a launch', () => {
  it('is the same whether given as options, as a request or by name', () => {
    const options = { vmm: 'qemu-kvm', vcpus: '2', cpu: ['EPYC-Milan'], kvmMode: 'bsp-only' } as const;
    const [launch] = launchesOfOptions(options);
    expect(launchName(launch!)).toBe('qemu-kvm vcpus 2 cpu EPYC-Milan bsp-only');
    expect(launchRequest(launch!)).toEqual({ ...options, vcpus: [2] });
    expect(launchesOf(launchRequest(launch!))).toEqual([launch]);
  });

  it("is Hyper-V's unless another VMM is requested", async () => {
    const file = snp([page, context()]);
    expect(await measureLaunches(file)).toEqual(
      await measureLaunches(file, { launches: launchesOfOptions({ vmm: 'hyperv' }) }),
    );
  });
});
