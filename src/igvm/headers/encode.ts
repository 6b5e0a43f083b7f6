import type { ByteSource } from '../../memory/byte-source';
import { bytesSource } from '../../memory/byte-source';
import { type Directive, type InitializationHeader, type PageDataDirective, PARAMETER_TYPE } from '../model';
import { PARAMETER, PARAMETER_AREA, PLAIN_DIRECTIVES, VP_CONTEXT } from './directive';
import { HEADER_TYPE } from './header-type';
import { CORIM_DATA, PLAIN_INITIALIZATIONS } from './initialization';
import type { Struct } from './struct';

/** Every header but page data, whose many headers the writer fills in place. */
export type SingleHeader = InitializationHeader | Exclude<Directive, PageDataDirective>;

/** How a header is written. */
export interface EncodedHeader {
  headerType: number;
  /** Bytes of the structure, without type, length and padding. */
  size: number;
  /** @throws IgvmError IGVM_INVALID when a value doesn't fit its field */
  write(view: DataView, at: number, fileOffset: number): void;
}

const PLAIN_HEADERS = { ...PLAIN_INITIALIZATIONS, ...PLAIN_DIRECTIVES };

/** The structure of a header, except for the place of its file data, which is known later. */
export function encodeHeader(header: SingleHeader): EncodedHeader {
  switch (header.type) {
    case 'corimDocument':
    case 'corimSignature': {
      const { compatibilityMask, content } = header;
      return withData(HEADER_TYPE[header.type], CORIM_DATA, { compatibilityMask, size: content.size });
    }
    case 'parameterArea':
      return withData(HEADER_TYPE.parameterArea, PARAMETER_AREA, header);
    case 'vpContext':
      return withData(HEADER_TYPE.vpContext, VP_CONTEXT, header);
    case 'parameter':
      return plain(PARAMETER_TYPE[header.kind], PARAMETER, header);
    case 'versionString':
      return raw(HEADER_TYPE.versionString, new TextEncoder().encode(header.value));
    case 'unknown':
      return raw(header.headerType, header.data);
    default:
      return plain(HEADER_TYPE[header.type], PLAIN_HEADERS[header.type] as Struct<object>, header);
  }
}

/** What a header refers to in the file data. */
export interface FileData {
  source: ByteSource;
  /** Bytes in the file; the source is padded with zeros. */
  size: number;
}

/** The file data of a header; undefined when it has none and its file offset is 0. */
export function fileDataOf(header: SingleHeader): FileData | undefined {
  switch (header.type) {
    case 'corimDocument':
    case 'corimSignature':
      return { source: header.content, size: header.content.size };
    case 'parameterArea':
      return header.initialData.size === 0 ? undefined : { source: header.initialData, size: header.size };
    case 'vpContext':
      return { source: bytesSource(header.data), size: header.data.length };
    default:
      return undefined;
  }
}

function plain<T>(headerType: number, of: Struct<T>, value: T): EncodedHeader {
  return { headerType, size: of.size, write: (view, at) => of.write(view, at, value) };
}

function withData<T extends { fileOffset: number }>(
  headerType: number,
  of: Struct<T>,
  value: Omit<T, 'fileOffset'>,
): EncodedHeader {
  return {
    headerType,
    size: of.size,
    write: (view, at, fileOffset) => of.write(view, at, { ...value, fileOffset } as T),
  };
}

function raw(headerType: number, data: Uint8Array): EncodedHeader {
  return {
    headerType,
    size: data.length,
    write: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, data.length).set(data),
  };
}
