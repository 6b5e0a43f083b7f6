/**
 * Rules that a schema can't express: values that are valid on their own but not together. Rules about the contents of a kernel or
 * firmware are in the loaders.
 */
import { type ErrorWhere, IgvmError, type JsonPath } from '../errors/igvm-error';
import { PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { platformOf, existsOn, ISOLATIONS, type IsolationName } from '../igvm/platforms';
import {
  COMMON_MEMORY_LIMIT,
  formatMemorySize,
  GPA_LIMIT,
  isUefiBoundary,
  PAGE_SIZE,
  REQUIRED_MEMORY_LIMIT,
  UEFI_BOUNDARY_BITS,
} from '../memory/page';
import { commandLineConflict } from './command-line';
import type { JsonDocument } from './json-document';
import type {
  DirectLinuxImage,
  GuestConfig,
  Manifest,
  OpenhclImage,
  OvmfImage,
  ProductPolicy,
  ResourceName,
} from './model';
import { SECURE_BOOT_RESOURCES } from './image-files';

const PAGE = BigInt(PAGE_SIZE);
/** OpenHCL's memory is mapped by large pages. */
const LARGE_PAGE_COUNT = 512n;
/** Bits of a page number whose address is a u64. The release builds of igvmfilegen drop higher bits, and so do we. */
export const PAGE_NUMBER_BITS = 52;
/** With fewer pages, the fixed parts of a directly booted SNP guest don't fit. */
const MIN_DIRECT_PAGES = 256n;

/** `[path below the guest, what is wrong]`. */
type Finding = readonly [path: JsonPath, message: string];

const tagOf = (variant: string | object): string => (typeof variant === 'string' ? variant : Object.keys(variant)[0]!);

const isolationOf = (guest: GuestConfig): IsolationName => tagOf(guest.isolation_type) as IsolationName;

function checkSnp(guest: GuestConfig): Finding[] {
  if (typeof guest.isolation_type === 'string' || !('snp' in guest.isolation_type)) return [];
  const image = tagOf(guest.image);
  // The first two have their own rules. The last one does not run under SNP at all.
  if (image === 'snp_linux_direct' || image === 'ovmf' || (image === 'linux' && guest.max_vtl === 0)) return [];
  const { shared_gpa_boundary_bits: bits, injection_type: injection } = guest.isolation_type.snp;
  const at = (key: string): JsonPath => ['isolation_type', 'snp', key];
  const findings: Finding[] = [];
  const { lowest, highest } = UEFI_BOUNDARY_BITS;
  if (typeof bits !== 'number') {
    findings.push([at('shared_gpa_boundary_bits'), `"${image}" under SNP needs a shared GPA boundary`]);
  } else if (image === 'uefi' && guest.max_vtl === 0 && !isUefiBoundary(bits)) {
    findings.push([
      at('shared_gpa_boundary_bits'),
      `"${image}" under SNP needs a shared GPA boundary from ${lowest} to ${highest}, not ${bits}`,
    ]);
  }
  if (guest.max_vtl === 0 && injection === 'normal') {
    findings.push([at('injection_type'), 'an SNP guest without a paravisor (max_vtl 0) needs restricted injection']);
  }
  return findings;
}

function checkSnpLinuxDirect(guest: GuestConfig, manifest: Manifest): Finding[] {
  if (typeof guest.image === 'string' || !('snp_linux_direct' in guest.image)) return [];
  const { memory_page_count: pages } = guest.image.snp_linux_direct;
  const findings: Finding[] = [];
  if (manifest.guest_configs.length > 1) {
    findings.push([['image', 'snp_linux_direct'], 'snp_linux_direct must be the only guest of its manifest']);
  }
  if (manifest.guest_arch !== 'x64') {
    findings.push([['image', 'snp_linux_direct'], 'snp_linux_direct is supported on x64 only']);
  }
  if (guest.max_vtl !== 0) findings.push([['max_vtl'], 'snp_linux_direct needs max_vtl 0']);
  if (pages < MIN_DIRECT_PAGES) {
    findings.push([
      ['image', 'snp_linux_direct', 'memory_page_count'],
      `a directly booted guest needs at least ${MIN_DIRECT_PAGES} pages (1 MiB) of memory`,
    ]);
  }
  if (typeof guest.isolation_type === 'string' || !('snp' in guest.isolation_type)) {
    return [...findings, [['isolation_type'], 'snp_linux_direct needs SNP isolation']];
  }
  const { shared_gpa_boundary_bits: bits, secure_avic: avic } = guest.isolation_type.snp;
  const at = (key: string): JsonPath => ['isolation_type', 'snp', key];
  if ((bits ?? undefined) !== undefined) {
    findings.push([at('shared_gpa_boundary_bits'), 'snp_linux_direct allows no shared GPA boundary']);
  }
  if (avic !== 'disabled') findings.push([at('secure_avic'), 'snp_linux_direct needs secure AVIC disabled']);
  return findings;
}

function checkEmbedded(linux: DirectLinuxImage, manifest: Manifest): Finding[] {
  const at = (key: string): JsonPath => ['image', 'linux', key];
  const { boot_data: bootData, memory_size: memory, processor_count: processors } = linux;
  const findings: Finding[] = [];
  if (memory !== undefined && memory % PAGE_SIZE !== 0) {
    findings.push([
      at('memory_size'),
      `memory_size must be a multiple of 4096, such as ${Math.ceil(memory / PAGE_SIZE) * PAGE_SIZE}, and not ${memory}`,
    ]);
  }
  if (bootData === 'vmm') {
    if (processors !== undefined) findings.push([at('processor_count'), 'processor_count needs boot_data "embedded"']);
    return findings;
  }
  if (manifest.guest_arch !== 'x64') findings.push([at('boot_data'), 'boot_data "embedded" is supported on x64 only']);
  if (memory === undefined) findings.push([at('memory_size'), 'boot_data "embedded" needs memory_size']);
  else if (memory > COMMON_MEMORY_LIMIT) {
    findings.push([
      at('memory_size'),
      `boot_data "embedded" allows at most 2 GiB (${COMMON_MEMORY_LIMIT}), and memory_size is ${formatMemorySize(memory)}`,
    ]);
  }
  return findings;
}

function checkLinux(guest: GuestConfig, manifest: Manifest): Finding[] {
  if (typeof guest.image === 'string' || !('linux' in guest.image)) return [];
  const findings = checkEmbedded(guest.image.linux, manifest);
  const isolation = isolationOf(guest);
  if (guest.max_vtl === 0 && ISOLATIONS[isolation].byProcessor) {
    const instead = isolation === 'snp' ? '"snp_linux_direct" or "openhcl" with "linux"' : '"openhcl" with "linux"';
    findings.push([['image', 'linux'], `"linux" does not run under ${isolation}; use ${instead}`]);
  }
  // Such a guest is written in format V2, and V1 and V2 don't merge.
  if (platformTypeOf(guest, manifest) === PLATFORM_TYPE.NATIVE && manifest.guest_configs.length > 1) {
    findings.push([['image', 'linux'], '"linux" without isolation must be the only guest of its manifest']);
  }
  return findings;
}

function checkUefi(guest: GuestConfig, manifest: Manifest): Finding[] {
  if (typeof guest.image === 'string' || !('uefi' in guest.image)) return [];
  return manifest.guest_arch === 'aarch64' && guest.image.uefi.config_type === 'igvm'
    ? [[['image', 'uefi', 'config_type'], 'UEFI for aarch64 cannot be configured by IGVM parameters']]
    : [];
}

/** igvm-wrap gives all guests of a file the same pages, and gives an SNP guest registers for normal injection only. */
function checkOvmf(guest: GuestConfig, manifest: Manifest): Finding[] {
  const ovmf = ovmfOf(guest);
  if (ovmf === undefined) return [];
  const findings: Finding[] = [];
  const at = (...keys: string[]): JsonPath => ['image', 'ovmf', ...keys];
  const isolation = isolationOf(guest);
  if (manifest.guest_arch !== 'x64') findings.push([at(), 'ovmf is supported on x64 only']);
  if (isolation !== 'none' && isolation !== 'snp') {
    findings.push([['isolation_type'], `ovmf runs without isolation or under snp, not under ${isolation}`]);
  }
  if (manifest.guest_configs.some((other) => ovmfOf(other) === undefined)) {
    findings.push([
      at(),
      'an ovmf guest can share a file only with another ovmf guest, but this manifest has a guest of another kind',
    ]);
  }
  const first = manifest.guest_configs.map(ovmfOf).find((other) => other !== undefined) ?? ovmf;
  for (const key of ['boot_mode', 'parameters', 'secure_boot'] as const) {
    if (JSON.stringify(ovmf[key] ?? null) === JSON.stringify(first[key] ?? null)) continue;
    findings.push([at(key), `ovmf guests of one file share their pages: ${key} must be the same in all`]);
  }
  if (typeof guest.isolation_type === 'string' || !('snp' in guest.isolation_type)) return findings;
  const { shared_gpa_boundary_bits: bits, injection_type: injection, secure_avic: avic } = guest.isolation_type.snp;
  const snpAt = (key: string): JsonPath => ['isolation_type', 'snp', key];
  if ((bits ?? undefined) !== undefined) {
    findings.push([snpAt('shared_gpa_boundary_bits'), 'ovmf allows no shared GPA boundary']);
  }
  if (injection !== 'normal') findings.push([snpAt('injection_type'), 'ovmf needs normal injection']);
  if (avic !== 'disabled') findings.push([snpAt('secure_avic'), 'ovmf needs secure AVIC disabled']);
  return findings;
}

const ovmfOf = ({ image }: GuestConfig): OvmfImage | undefined =>
  typeof image !== 'string' && 'ovmf' in image ? image.ovmf : undefined;

function checkPolicy(policy: ProductPolicy): Finding[] {
  const [[product, body]] = Object.entries(policy) as [[string, Extract<ProductPolicy, { sivm: unknown }>['sivm']]];
  const needsJson = body.require_secure_boot && (body.require_secure_boot_vars || body.require_bcd_integrity);
  return needsJson && body.custom_uefi_json === ''
    ? [[[product, 'custom_uefi_json'], 'these requirements need a custom_uefi_json that is not empty']]
    : [];
}

const pageNumber = (value: bigint) => BigInt.asUintN(PAGE_NUMBER_BITS, value);

function checkOpenhclMemory(openhcl: OpenhclImage): Finding[] {
  const base = typeof openhcl.memory_page_base === 'bigint' ? pageNumber(openhcl.memory_page_base) : undefined;
  const pages = pageNumber(openhcl.memory_page_count);
  const findings: Finding[] = [];
  const aligned = (key: string, value: bigint) => {
    if (value % LARGE_PAGE_COUNT !== 0n) {
      findings.push([[key], `${key} must be a multiple of ${LARGE_PAGE_COUNT} (2 MiB), and ${value} is not`]);
    }
  };
  aligned('memory_page_count', pages);
  if (pages * PAGE >= REQUIRED_MEMORY_LIMIT) findings.push([['memory_page_count'], `${pages} pages are 4 GiB or more`]);
  if (base !== undefined) {
    aligned('memory_page_base', base);
    if (base * PAGE >= GPA_LIMIT) {
      findings.push([['memory_page_base'], `page ${base} is beyond the 52 bits of a physical address`]);
    }
  }
  return findings;
}

function checkOpenhcl(guest: GuestConfig, manifest: Manifest): Finding[] {
  if (typeof guest.image === 'string' || !('openhcl' in guest.image)) return [];
  const { openhcl } = guest.image;
  const { uefi, linux, product_policy: policy } = openhcl;
  const hasLinux = (linux ?? undefined) !== undefined;
  const findings = checkOpenhclMemory(openhcl);
  if (uefi && hasLinux) findings.push([['linux'], 'an OpenHCL image has either UEFI or Linux in VTL0, not both']);
  if (manifest.guest_arch === 'aarch64' && !uefi && !hasLinux) {
    findings.push([[], 'OpenHCL for aarch64 needs UEFI or Linux in VTL0']);
  }
  for (const [path, message] of policy ? checkPolicy(policy) : [])
    findings.push([['product_policy', ...path], message]);
  return findings.map(([path, message]) => [['image', 'openhcl', ...path], message]);
}

function checkArch(guest: GuestConfig, manifest: Manifest): Finding[] {
  const isolation = isolationOf(guest);
  return existsOn(isolation, manifest.guest_arch)
    ? []
    : [[['isolation_type'], `an ${manifest.guest_arch} guest cannot run under ${isolation}`]];
}

/** The platform of a guest. Two guests of a file can't have the same one. */
function platformTypeOf(guest: GuestConfig, manifest: Manifest): PlatformType {
  const isolation = isolationOf(guest);
  // Without isolation a guest runs on the platform of VBS, except for OVMF and a Linux kernel started directly on x64.
  const image = tagOf(guest.image);
  const isNative = image === 'ovmf' || (image === 'linux' && guest.max_vtl === 0);
  return isolation === 'none' && isNative && manifest.guest_arch === 'x64'
    ? PLATFORM_TYPE.NATIVE
    : ISOLATIONS[isolation].platformType;
}

function checkPlatforms(manifest: Manifest): Finding[][] {
  const first = new Map<PlatformType, number>();
  return manifest.guest_configs.map((guest, index) => {
    const platform = platformTypeOf(guest, manifest);
    const other = first.get(platform);
    if (other === undefined) {
      first.set(platform, index);
      return [];
    }
    const hint = platform === PLATFORM_TYPE.VSM_ISOLATION ? ' ("none" and "vbs" are the same platform)' : '';
    return [[['isolation_type'], `guest ${other} already has the platform ${platformOf(platform)?.label}${hint}`]];
  });
}

type HasResource = (resource: ResourceName) => boolean;

function checkInjection({ image, isolation_type: isolation }: GuestConfig, has: HasResource): Finding[] {
  if (typeof image === 'string' || !('snp_linux_direct' in image) || has('snp_bootshim')) return [];
  if (typeof isolation === 'string' || !('snp' in isolation) || isolation.snp.injection_type === 'normal') return [];
  const message =
    'snp_linux_direct needs normal injection, or the resource "snp_bootshim", which works with restricted injection';
  return [[['isolation_type', 'snp', 'injection_type'], message]];
}

/** Secure Boot that is not requested, or that would reject every program, is a mistake that would show only at boot. */
function checkOvmfResources(guest: GuestConfig, has: HasResource): Finding[] {
  const ovmf = ovmfOf(guest);
  if (ovmf === undefined) return [];
  const path: JsonPath = ['image', 'ovmf'];
  const findings: Finding[] = [];
  if (has('uki') && has('linux_kernel')) {
    findings.push([path, 'ovmf starts one kernel: the resources have both "uki" and "linux_kernel"']);
  }
  const secureBoot = ovmf.secure_boot ?? undefined;
  if (secureBoot === undefined) {
    const keys = SECURE_BOOT_RESOURCES.filter(has);
    if (keys.length > 0) findings.push([path, `the resource "${keys[0]}" needs "secure_boot", which is missing`]);
    return findings;
  }
  const { profile, hashes } = secureBoot;
  if (hashes && !(['shim', 'uki', 'linux_kernel'] as const).some(has)) {
    findings.push([
      [...path, 'secure_boot', 'hashes'],
      'hashes need one of the resources "shim", "uki" and "linux_kernel", and there is none',
    ]);
  }
  if (profile === 'none' && !hashes && !has('secure_boot_db')) {
    findings.push([
      [...path, 'secure_boot'],
      'no program could start: secure_boot needs a profile, "hashes": true or the resource "secure_boot_db"',
    ]);
  }
  return findings;
}

/** Conflicts that depend on the resources of a build. */
export const checkWithResources = (
  manifest: Manifest,
  has: HasResource,
  positionOf: (path: JsonPath) => ErrorWhere,
): IgvmError[] =>
  manifest.guest_configs.flatMap((guest, index) => {
    const commandLine = has('linux_command_line') ? commandLineConflict(manifest, guest) : undefined;
    const findings = commandLine === undefined ? checkInjection(guest, has) : [commandLine];
    return [...findings, ...checkOvmfResources(guest, has)].map(
      ([path, message]) => new IgvmError('MANIFEST_CONFLICT', message, positionOf(['guest_configs', index, ...path])),
    );
  });

const GUEST_CHECKS = [
  checkArch,
  checkSnp,
  checkSnpLinuxDirect,
  checkLinux,
  checkUefi,
  checkOvmf,
  checkOpenhcl,
] as const;

/**
 * All conflicts in a valid manifest, in the order of its guests. Source of the rules: openvmm igvmfilegen and loader. The loaders
 * repeat the checks that concern them, for callers of `buildImage`, whose manifest was not checked.
 */
export function checkManifest(manifest: Manifest, document: JsonDocument): IgvmError[] {
  const platforms = checkPlatforms(manifest);
  return manifest.guest_configs.flatMap((guest, index) =>
    [...GUEST_CHECKS.flatMap((check) => check(guest, manifest)), ...platforms[index]!].map(
      ([path, message]) =>
        new IgvmError('MANIFEST_CONFLICT', message, document.where(['guest_configs', index, ...path])),
    ),
  );
}
