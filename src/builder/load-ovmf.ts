import { IgvmError, unreachable } from '../errors/igvm-error';
import type { FileSource } from '../files/file-source';
import { isPortableExecutable } from '../igvm/firmware-dll';
import { type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type PageAcceptance, type PageDataDirective } from '../igvm/model';
import { validateIgvm } from '../igvm/validate';
import { readOvmfTable } from '../loader/formats/ovmf-table';
import { AcceptedRanges, type MapFile } from '../loader/guest/layout';
import type { BuiltGuest } from '../loader/guest/guest-builder';
import type { GuestIsolation } from '../loader/guest/guest-platform';
import { type OwnKeys, readOwnKeys, SECURE_BOOT_VARIABLES, type SecureBootVariable } from '../loader/ovmf/own-keys';
import { OVMF_MASK } from '../loader/ovmf/pages';
import { addPrograms, putIn } from '../loader/ovmf/update';
import { measuredParts, measuredText, type OvmfParts, ovmfRegionNames } from '../loader/ovmf/contents';
import { OWN_KEYS_OWNER, type SecureBootVariables, secureBootVariables } from '../loader/ovmf/secure-boot';
import { wrapFirmware } from '../loader/ovmf/wrap';
import type { Manifest, OvmfImage, ResourceName, SecureBoot } from '../manifest/model';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import { TagIndex, type TaggedRange } from '../regions/image-map';
import { authenticodeSha256 } from '../uki/pe';
import { isUki } from '../uki/uki';
import { guestSpec } from './load-guest';
import { type OpenResources, ukiNote } from './open-resources';

/** The guests of an image, and the file with them. */
export interface LaidOutImage {
  file: IgvmFile;
  /** In the order of the file's platforms. */
  guests: Omit<BuiltGuest, 'file'>[];
}

/**
 * OVMF with its programs for all guests of a checked manifest: the bytes that `nx-igvm wrap` and then `nx-igvm update`
 * write. Unlike these commands, it refuses an image that no VMM would start.
 * @throws IgvmError FIRMWARE_INVALID, OVMF_UNSUITABLE, EFI_DATA_INVALID, LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE,
 *   IGVM_INVALID; CONFIG_UNSUPPORTED and ISOLATION_UNSUPPORTED for an unchecked manifest; and what the resources throw
 */
export function loadOvmf(manifest: Manifest, resources: OpenResources): LaidOutImage {
  const { native, snp, image } = guestsOf(manifest);
  const firmware = resources.get('ovmf_code');
  const vars = resources.find('ovmf_vars');
  const wrapped = inFile('ovmf_code', resources, () => {
    checkFirmware(firmware, { hasSnp: snp !== undefined, hasParameters: image.parameters });
    return wrapFirmware({
      firmware,
      vars,
      native: native !== undefined,
      snp: snp !== undefined,
      parameters: image.parameters,
      bootMode: image.boot_mode,
      policy: snp?.policy,
    });
  });
  const shim = program('shim', resources);
  const kernel = program('uki', resources) ?? program('linux_kernel', resources);
  const secureBoot = image.secure_boot ? secureBootOf(image.secure_boot, resources) : undefined;
  const isUpdated = [shim, kernel, secureBoot].some((part) => part !== undefined);
  const file = isUpdated
    ? inFile('ovmf_code', resources, () => addPrograms(wrapped, { shim, kernel, secureBoot }))
    : wrapped;
  validateIgvm(file);
  const parts: OvmfParts = {
    firmware,
    varsSize: vars?.size ?? 0,
    hasLowCopy: image.boot_mode === 'real16',
    items: isUpdated ? putIn(file).items : [],
    kernel: resources.find('uki') === undefined ? 'linux-kernel' : 'uki',
  };
  const names = ovmfRegionNames(parts);
  const ukis = (['shim', 'uki', 'linux_kernel'] as const).flatMap((name) => ukiNotes(name, resources));
  const guests = [
    ...(native === undefined ? [] : [{ isolation: native, mask: OVMF_MASK.native }]),
    ...(snp === undefined ? [] : [{ isolation: snp, mask: OVMF_MASK.snp }]),
  ];
  return {
    file,
    guests: guests.map(({ isolation, mask }) => ({
      map: mapOf(file, mask, names, isolation),
      observers: [],
      notes: [measuredText(measuredParts(file, parts)), ...ukis, ...(snp === undefined ? [] : [KVM_REGISTERS])],
      details: [],
    })),
  };
}

/** KVM doesn't measure the registers of the image (docs/launch-digests.md). */
const KVM_REGISTERS =
  'the SEV-SNP digest is that of a VMM that takes the registers from the image; `nx-igvm measure --vmm qemu-kvm` prints that of QEMU with KVM';

type SnpIsolation = Extract<GuestIsolation, { type: 'snp' }>;

/** The guests by their platform, and the image that they share. */
function guestsOf({ guest_arch: arch, guest_configs: guests }: Manifest): {
  native?: GuestIsolation;
  snp?: SnpIsolation;
  image: OvmfImage;
} {
  if (arch !== 'x64') throw new IgvmError('CONFIG_UNSUPPORTED', 'ovmf is supported on x64 only');
  const found: { native?: GuestIsolation; snp?: SnpIsolation } = {};
  let first: OvmfImage | undefined;
  for (const config of guests) {
    const { image } = config;
    if (typeof image === 'string' || !('ovmf' in image)) {
      throw new IgvmError('CONFIG_UNSUPPORTED', 'an ovmf guest can share a file only with another ovmf guest');
    }
    const { isolation } = guestSpec(config, arch);
    const name = isolation.type === 'none' ? 'native' : 'snp';
    if (isolation.type === 'vbs' || isolation.type === 'tdx' || found[name] !== undefined) {
      throw new IgvmError(
        'ISOLATION_UNSUPPORTED',
        'ovmf has one guest without isolation, one under snp, or one of each',
        { jsonPath: ['isolation_type'] },
      );
    }
    if (isolation.type === 'snp') found.snp = isolation;
    else found.native = isolation;
    first ??= image.ovmf;
  }
  return { ...found, image: first ?? unreachable('an image of OVMF without guests') };
}

/** Refuses firmware that can't start, although `wrap` accepts it, as igvm-wrap does. */
function checkFirmware(
  firmware: FileSource,
  { hasSnp, hasParameters }: { hasSnp: boolean; hasParameters: boolean },
): void {
  if (firmware.size === 0) throw new IgvmError('FIRMWARE_INVALID', 'the firmware is empty');
  const regions = readOvmfTable(firmware) ?? [];
  const area = regions.find(({ kind }) => kind === 'parameterArea');
  for (const { kind, base } of hasParameters && area !== undefined ? regions : []) {
    if (kind !== 'vpCount' && kind !== 'memoryMap') continue;
    if (base + PARAMETER_SIZES[kind] <= area!.size) continue;
    throw new IgvmError(
      'FIRMWARE_INVALID',
      `the firmware's metadata has a parameter at offset ${base} of an area of ${area!.size} bytes, where it doesn't fit`,
    );
  }
  const missing = (['sevSecrets', 'sevCpuid'] as const).filter(
    (kind) => !regions.some((region) => region.kind === kind),
  );
  if (hasSnp && missing.length > 0) {
    throw new IgvmError(
      'OVMF_UNSUITABLE',
      `the firmware can't start under SEV-SNP: its metadata has no ${missing.map((kind) => PAGE_WORDS[kind]).join(' and no ')}`,
    );
  }
}

/**
 * The least that a VMM writes, in bytes: a count, and one entry of a memory map (igvm_defs: IGVM_VHS_MEMORY_MAP_ENTRY).
 */
const PARAMETER_SIZES = { vpCount: 4, memoryMap: 24 } as const;

const PAGE_WORDS = { sevSecrets: 'page for secrets', sevCpuid: 'page for CPUID' } as const;

/** A program that the firmware starts. `update` accepts any file, so that only a boot would show the mistake. */
function program(name: ResourceName, resources: OpenResources): FileSource | undefined {
  const source = resources.find(name);
  if (source === undefined || isPortableExecutable(source)) return source;
  throw new IgvmError('EFI_DATA_INVALID', `${name} is not an EFI program: it does not begin with "MZ"`, {
    file: resources.displayOf(name),
  });
}

/** The contents of a program that is a UKI. @throws IgvmError EFI_DATA_INVALID for a damaged one */
function ukiNotes(name: ResourceName, resources: OpenResources): string[] {
  const source = resources.find(name);
  if (source === undefined || !isUki(source)) return [];
  return [inFile(name, resources, () => ukiNote(source, resources.displayOf(name)))];
}

function secureBootOf({ profile, hashes }: SecureBoot, resources: OpenResources): SecureBootVariables {
  const own: Partial<Record<SecureBootVariable, OwnKeys>> = {};
  for (const variable of SECURE_BOOT_VARIABLES) {
    const name = `secure_boot_${variable}` as const;
    const file = resources.find(name);
    if (file === undefined) continue;
    own[variable] = inFile(name, resources, () => readOwnKeys(file, variable, OWN_KEYS_OWNER));
  }
  const programs = hashes ? (['shim', 'uki', 'linux_kernel'] as const) : [];
  const digests = programs.flatMap((name) => {
    const source = resources.find(name);
    return source === undefined ? [] : [inFile(name, resources, () => authenticodeSha256(source))];
  });
  return secureBootVariables({ profile, hashes: digests, arch: 'x64', own });
}

/** Runs `work`; an error about a file's contents names that file. */
function inFile<T>(name: ResourceName, resources: OpenResources, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: resources.displayOf(name) }) : error;
  }
}

/**
 * The memory of one platform's guest. @throws IgvmError LAYOUT_OVERLAP also for areas that overlap pages, which KVM
 * refuses
 */
function mapOf(file: IgvmFile, mask: number, names: readonly TaggedRange[], isolation: GuestIsolation): MapFile {
  const index = new TagIndex(names);
  const ranges = new AcceptedRanges();
  const sizes = new Map<number, number>();
  const accept = (gpa: number, end: number, tag: string, acceptance: PageAcceptance): void =>
    ranges.accept({ pageBase: gpa / PAGE_SIZE, pageCount: pagesFor(end - gpa), tag, acceptance });
  for (const directive of file.directives) {
    if (directive.type === 'parameterArea') sizes.set(directive.index, directive.size);
    if (!('compatibilityMask' in directive) || (directive.compatibilityMask & mask) === 0) continue;
    if (directive.type === 'parameterInsert') {
      const size = sizes.get(directive.index) ?? unreachable('an insert without an area');
      accept(
        directive.gpa,
        directive.gpa + size,
        index.at(directive.gpa).tag ?? 'ovmf-parameters',
        'exclusiveUnmeasured',
      );
    } else if (directive.type === 'vpContext' && directive.format === 'snp') {
      accept(directive.gpa, directive.gpa + PAGE_SIZE, 'vp-context-page', 'vpContext');
    } else if (directive.type === 'pageData') {
      const end = directive.gpa + directive.pageCount * PAGE_SIZE;
      for (let gpa = directive.gpa; gpa < end; ) {
        const { tag = 'ovmf-memory', until } = index.at(gpa);
        const stop = Math.min(end, until);
        accept(gpa, stop, tag, acceptanceOf(directive));
        gpa = stop;
      }
    }
  }
  ranges.mergeAdjacent();
  return { isolation, acceptedRanges: ranges.list(), requiredMemory: [], relocatableRegions: [] };
}

function acceptanceOf({ flags, dataType }: PageDataDirective): PageAcceptance {
  if (dataType === PAGE_DATA_TYPE.SECRETS) return 'secrets';
  if (dataType === PAGE_DATA_TYPE.CPUID_DATA) return 'cpuid';
  return (flags & PAGE_FLAG.UNMEASURED) === 0 ? 'exclusive' : 'exclusiveUnmeasured';
}
