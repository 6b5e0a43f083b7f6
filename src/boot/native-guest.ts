import { IgvmError, unreachable } from '../errors/igvm-error';
import { type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG, type ParameterKind, PLATFORM_TYPE } from '../igvm/model';
import { platformOf } from '../igvm/platforms';
import { PAGE_SIZE } from '../memory/page';
import { decodeNativeContext, type NativeContextFields } from '../vp-context/native';
import { startsAtResetVector } from './firmware-guest';
import { GuestPages, type PageRange } from './guest-pages';
import { LinuxZeroPage } from './linux-zero-page';

/** A place in guest memory that the VMM fills before the guest starts. */
export interface GuestParameter {
  kind: ParameterKind;
  /** Bytes. */
  gpa: number;
  /** Bytes from `gpa` to the end of the parameter's area. */
  room: number;
}

/** The initial memory of an image's NATIVE x64 guest, and the state of VP 0. */
export interface NativeMemory {
  /** Includes parameter areas with their initial data. */
  pages: GuestPages;
  /** Undefined for firmware that starts in the reset state. */
  context: NativeContextFields | undefined;
  parameters: readonly GuestParameter[];
  /** The required memory from GPA 0 on that the image declares, in bytes. */
  memoryNeeded: number;
}

/** An image's NATIVE x64 guest that starts in a state of its own: its memory, this state, and what it expects of its VMM. */
export interface NativeGuest extends NativeMemory {
  context: NativeContextFields;
  /** Undefined unless the guest is Linux. */
  zeroPage: LinuxZeroPage | undefined;
  /** The memory that the guest needs from GPA 0 on, in bytes: up to the end of its pages and of required memory. */
  memoryNeeded: number;
}

/**
 * Reads the guest of an image, once for the whole boot.
 * @throws IgvmError BOOT_CONTEXT for firmware, and for an image without a context for VP 0; and as {@link nativeMemory} does
 */
export function nativeGuest(file: IgvmFile, memory: NativeMemory = nativeMemory(file)): NativeGuest {
  const { pages, context } = memory;
  if (startsAtResetVector(memory)) {
    throw new IgvmError(
      'BOOT_CONTEXT',
      'the image is firmware that starts at the reset vector, which cannot be converted to a PVH kernel',
    );
  }
  if (context === undefined) throw new IgvmError('BOOT_CONTEXT', 'the image has no VP context for VP 0');
  const zeroPage = LinuxZeroPage.of(pages, context);
  return { ...memory, context, zeroPage, memoryNeeded: Math.max(memory.memoryNeeded, pages.end) };
}

/**
 * Reads the initial memory and state of a NATIVE guest.
 * @throws IgvmError BOOT_PLATFORM without a NATIVE x64 guest; BOOT_CONTEXT for several contexts, or one for another VP than VP 0;
 *   BOOT_LAYOUT for pages that only confidential guests have
 */
export function nativeMemory(file: IgvmFile): NativeMemory {
  const mask = nativeMask(file);
  const ranges: PageRange[] = [];
  const areas = new Map<number, PageRange>();
  const initialAreas = new Map<number, { size: number; content: PageRange['content'] }>();
  let context: NativeContextFields | undefined;
  let memoryNeeded = 0;
  for (const directive of file.directives) {
    if ('compatibilityMask' in directive && (directive.compatibilityMask & mask) === 0) continue;
    switch (directive.type) {
      case 'pageData':
        if (directive.dataType !== PAGE_DATA_TYPE.NORMAL || (directive.flags & PAGE_FLAG.IS_2MB_PAGE) !== 0) {
          throw new IgvmError('BOOT_LAYOUT', 'the image has pages of a kind that a NATIVE guest cannot use', {
            gpa: { start: directive.gpa, end: directive.gpa + directive.pageCount * PAGE_SIZE },
          });
        }
        ranges.push({ gpa: directive.gpa, size: directive.pageCount * PAGE_SIZE, content: directive.content });
        break;
      case 'parameterArea':
        initialAreas.set(directive.index, { size: directive.size, content: directive.initialData });
        break;
      case 'parameterInsert': {
        const area = initialAreas.get(directive.index);
        if (area === undefined) break;
        const range = { gpa: directive.gpa, ...area };
        areas.set(directive.index, range);
        ranges.push(range);
        break;
      }
      case 'vpContext':
        if (directive.vpIndex !== 0 || context !== undefined) {
          throw new IgvmError(
            'BOOT_CONTEXT',
            `the image starts VP ${directive.vpIndex} by itself, but a PVH boot starts only VP 0`,
          );
        }
        context = decodeNativeContext(directive.data);
        break;
      case 'requiredMemory':
        memoryNeeded = Math.max(memoryNeeded, directive.gpa + directive.size);
        break;
      default:
        break;
    }
  }
  const parameters = file.directives.flatMap((directive): GuestParameter[] => {
    if (directive.type !== 'parameter') return [];
    const area = areas.get(directive.index);
    if (area === undefined || directive.byteOffset >= area.size) return [];
    return [{ kind: directive.kind, gpa: area.gpa + directive.byteOffset, room: area.size - directive.byteOffset }];
  });
  return { pages: new GuestPages(ranges), context, parameters, memoryNeeded };
}

function nativeMask(file: IgvmFile): number {
  const native = file.platforms.find(({ platformType }) => platformType === PLATFORM_TYPE.NATIVE);
  if (file.arch === 'x64' && native !== undefined) return native.compatibilityMask;
  if (file.arch !== 'x64') {
    throw new IgvmError('BOOT_PLATFORM', 'the image is for aarch64, for which no supported VMM loads IGVM files');
  }
  const launchers = file.platforms.map(({ platformType }) => {
    const { label, host } = platformOf(platformType) ?? unreachable(`a file for platform ${platformType}`);
    return `${label} (${host} can start it)`;
  });
  throw new IgvmError('BOOT_PLATFORM', `the image has no NATIVE guest: it is for ${launchers.join(' and for ')}`);
}
