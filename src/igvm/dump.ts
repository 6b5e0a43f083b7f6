import { hex } from '../errors/hex';
import type { ByteSource } from '../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import { FIXED_HEADER, FIXED_HEADER_V2_PART, fixedHeaderSize } from './headers/fixed-header';
import {
  type Directive,
  type IgvmFile,
  type InitializationHeader,
  type PageDataDirective,
  PLATFORM_TYPE,
  type PlatformHeader,
  type VpContextDirective,
} from './model';
import { PAGE_FLAG, pageTypeName } from './page-data';
import { pageOverlaps } from './page-overlaps';

/** A value of a dump. Numbers are exact; bigints are 64-bit fields whose bits have meanings. */
export type DumpValue = string | number | bigint | boolean | Uint8Array | DumpValue[] | { [name: string]: DumpValue };

/** One header, or many equal ones: its fields by the model's names. */
export type DumpRecord = { [name: string]: DumpValue };

/** A platform header, with its type by name. */
export type PlatformRecord = DumpRecord & { compatibilityMask: number; platformType: string };

/** The contents of a file, section by section. Directives are made while they are taken. */
export interface Dump {
  fixedHeader: DumpRecord & { totalFileSize: number };
  platforms: PlatformRecord[];
  initializations: DumpRecord[];
  directives: Iterable<DumpRecord>;
  /** Memory that the file fills more than once, platform by platform; absent where there is none. */
  overlaps?: DumpRecord[];
}

/** Decodes a VP context into records, one a register. Handed in: register layouts are not part of the format. */
export type ContextDecoder = (context: VpContextDirective) => DumpRecord[];

/** Name of a platform type, as the format's specification has it; a number when it is not known. */
export const platformTypeName = (type: number): string =>
  Object.entries(PLATFORM_TYPE).find(([, each]) => each === type)?.[0] ?? String(type);

/**
 * Describes a file that {@link readIgvm} has accepted, without reading its pages.
 * @param source the bytes that `file` was read from
 */
export function dump(file: IgvmFile, source: ByteSource, decodeContext: ContextDecoder): Dump {
  return {
    fixedHeader: describeFixedHeader(file, source),
    platforms: file.platforms.map(describePlatform),
    initializations: file.initializations.map(describeInitialization),
    directives: describeDirectives(file.directives, decodeContext),
    ...describeOverlaps(file),
  };
}

function describeOverlaps(file: IgvmFile): Pick<Dump, 'overlaps'> {
  const overlaps = file.platforms.flatMap(({ compatibilityMask }) =>
    pageOverlaps(file, compatibilityMask).map(({ gpa, end }) => ({ type: 'overlap', gpa, end, compatibilityMask })),
  );
  return overlaps.length === 0 ? {} : { overlaps };
}

function describeFixedHeader({ version, arch }: IgvmFile, source: ByteSource): Dump['fixedHeader'] {
  const bytes = new Uint8Array(fixedHeaderSize(version));
  source.read(0, bytes);
  const view = new DataView(bytes.buffer);
  const record: Dump['fixedHeader'] = { ...FIXED_HEADER.read(view, 0) };
  if (version === 2) record.pageSize = FIXED_HEADER_V2_PART.read(view, FIXED_HEADER.size).pageSize;
  record.architecture = arch;
  return record;
}

export const describePlatform = (platform: PlatformHeader): PlatformRecord => ({
  ...platform,
  platformType: platformTypeName(platform.platformType),
});

/** CoRIMs by their size; their contents are the business of dump-corim. */
export function describeInitialization(header: InitializationHeader): DumpRecord {
  if (header.type !== 'corimDocument' && header.type !== 'corimSignature') return fieldsOf(header);
  return { type: header.type, compatibilityMask: header.compatibilityMask, size: header.content.size };
}

function* describeDirectives(directives: readonly Directive[], decodeContext: ContextDecoder): Generator<DumpRecord> {
  let group: PageGroup | undefined;
  for (const directive of directives) {
    if (group !== undefined && (directive.type !== 'pageData' || !group.takes(directive))) {
      yield group.describe();
      group = undefined;
    }
    if (directive.type === 'pageData') (group ??= new PageGroup(directive)).add(directive);
    else yield describeDirective(directive, decodeContext);
  }
  if (group !== undefined) yield group.describe();
}

/** A directive other than page data. */
export function describeDirective(
  directive: Exclude<Directive, PageDataDirective>,
  decodeContext: ContextDecoder,
): DumpRecord {
  switch (directive.type) {
    case 'parameterArea': {
      const { type, index, size, initialData } = directive;
      return { type, index, size, initialDataSize: initialData.size };
    }
    case 'vpContext': {
      const { type, format, gpa, compatibilityMask, vpIndex } = directive;
      return { type, format, gpa, compatibilityMask, vpIndex, registers: decodeContext(directive) };
    }
    default:
      return fieldsOf(directive);
  }
}

/** The fields of a header that is a structure and nothing else; structures within are records of their own. */
const fieldsOf = (header: object): DumpRecord => ({ ...header }) as DumpRecord;

const NAMED_FLAGS = Object.values(PAGE_FLAG).reduce((mask, bit) => mask | bit, 0);

/** What a run's flags and type mean; flags without a name together as a number in hexadecimal. */
export function describePageKind({ flags, dataType }: Pick<PageDataDirective, 'flags' | 'dataType'>): {
  dataType: string;
  flags: string[];
} {
  const named = Object.entries(PAGE_FLAG)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name);
  const unnamed = (flags & ~NAMED_FLAGS) >>> 0;
  return { dataType: pageTypeName(dataType), flags: unnamed === 0 ? named : [...named, hex(unnamed)] };
}

/** Page data headers that follow each other in the file and in the guest, wherever their data lies. */
class PageGroup {
  private pages = 0;
  private emptyPages = 0;

  constructor(private readonly first: PageDataDirective) {}

  takes(run: PageDataDirective): boolean {
    const { gpa, flags, dataType, compatibilityMask } = this.first;
    return (
      run.gpa === gpa + this.pages * PAGE_SIZE &&
      run.flags === flags &&
      run.dataType === dataType &&
      run.compatibilityMask === compatibilityMask
    );
  }

  add(run: PageDataDirective): void {
    this.pages += run.pageCount;
    this.emptyPages += run.pageCount - pagesFor(run.content.size);
  }

  describe(): DumpRecord {
    const { type, gpa, compatibilityMask } = this.first;
    const end = gpa + this.pages * PAGE_SIZE;
    const { pages, emptyPages } = this;
    return { type, gpa, end, pages, emptyPages, ...describePageKind(this.first), compatibilityMask };
  }
}
