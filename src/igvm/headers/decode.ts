import { IgvmError, unreachable } from '../../errors/igvm-error';
import { type ByteSource, EMPTY_SOURCE } from '../../memory/byte-source';
import {
  type Directive,
  type InitializationHeader,
  PARAMETER_TYPE,
  type ParameterKind,
  type PlatformHeader,
} from '../model';
import { PARAMETER, PARAMETER_AREA, PLAIN_DIRECTIVES, VP_CONTEXT, type VpContextFields } from './directive';
import { HEADER_TYPE } from './header-type';
import { CORIM_DATA, PLAIN_INITIALIZATIONS, SUPPORTED_PLATFORM } from './initialization';
import type { Struct } from './struct';

/** The bytes of one structure in the variable headers. */
export interface StructBytes {
  headerType: number;
  view: DataView;
  at: number;
  /** As the header says; what lies in `view` is checked already. */
  length: number;
}

/** Access to the file data, checked against the file. */
export interface FileDataReader {
  /** @throws IgvmError IGVM_MALFORMED when it lies outside the file data */
  region(offset: number, size: number): ByteSource;
  /** The VP context that the fields point to. @throws IgvmError IGVM_MALFORMED */
  vpContext(fields: VpContextFields): Extract<Directive, { type: 'vpContext' }>;
}

const PARAMETER_KINDS = new Map(
  Object.entries(PARAMETER_TYPE).map(([kind, headerType]) => [headerType as number, kind as ParameterKind]),
);

const plainStructs = (structs: Record<string, Struct<object>>): Map<number, { type: string; of: Struct<object> }> =>
  new Map(Object.entries(structs).map(([type, of]) => [HEADER_TYPE[type as keyof typeof HEADER_TYPE], { type, of }]));

const INITIALIZATIONS = plainStructs(PLAIN_INITIALIZATIONS as unknown as Record<string, Struct<object>>);
const DIRECTIVES = plainStructs(PLAIN_DIRECTIVES as unknown as Record<string, Struct<object>>);

/** @throws IgvmError IGVM_MALFORMED */
export const decodePlatform = (bytes: StructBytes): PlatformHeader => read(SUPPORTED_PLATFORM, bytes);

/** A header of the initialization section, of a known type. @throws IgvmError IGVM_MALFORMED */
export function decodeInitialization(bytes: StructBytes, data: FileDataReader): InitializationHeader {
  const { headerType } = bytes;
  if (headerType === HEADER_TYPE.corimDocument || headerType === HEADER_TYPE.corimSignature) {
    const { compatibilityMask, fileOffset, size } = read(CORIM_DATA, bytes);
    const content = size === 0 ? EMPTY_SOURCE : data.region(fileOffset, size);
    const type = headerType === HEADER_TYPE.corimDocument ? 'corimDocument' : 'corimSignature';
    return { type, compatibilityMask, content };
  }
  if (headerType === HEADER_TYPE.versionString) return { type: 'versionString', value: decodeText(bytes) };
  const plain =
    INITIALIZATIONS.get(headerType) ?? unreachable(`no structure for header type 0x${headerType.toString(16)}`);
  return { type: plain.type, ...read(plain.of, bytes) } as InitializationHeader;
}

/** A directive of a known type, page data aside. @throws IgvmError IGVM_MALFORMED */
export function decodeDirective(bytes: StructBytes, data: FileDataReader): Directive {
  const { headerType } = bytes;
  const kind = PARAMETER_KINDS.get(headerType);
  if (kind !== undefined) return { type: 'parameter', kind, ...read(PARAMETER, bytes) };
  if (headerType === HEADER_TYPE.vpContext) return data.vpContext(read(VP_CONTEXT, bytes));
  if (headerType === HEADER_TYPE.parameterArea) {
    const { size, index, fileOffset } = read(PARAMETER_AREA, bytes);
    const initialData = fileOffset === 0 ? EMPTY_SOURCE : data.region(fileOffset, size);
    return { type: 'parameterArea', size, index, initialData };
  }
  const plain = DIRECTIVES.get(headerType) ?? unreachable(`no structure for header type 0x${headerType.toString(16)}`);
  return { type: plain.type, ...read(plain.of, bytes) } as Directive;
}

function read<T>(of: Struct<T>, { view, at, length }: StructBytes): T {
  checkLength(of, length);
  return of.read(view, at);
}

/** @throws IgvmError IGVM_MALFORMED when a header has another length than its structure */
export function checkLength(of: Struct<unknown>, length: number): void {
  if (length !== of.size) fail(`a header of ${of.size} bytes says that it has ${length}`);
}

function decodeText({ view, at, length }: StructBytes): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      new Uint8Array(view.buffer, view.byteOffset + at, length),
    );
  } catch {
    return fail('the version string is not UTF-8');
  }
}

function fail(message: string): never {
  throw new IgvmError('IGVM_MALFORMED', message);
}
