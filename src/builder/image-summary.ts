import { hexRange } from '../errors/hex';
import { HEADER_LABEL } from '../igvm/headers/header-type';
import type { Directive, IgvmFile } from '../igvm/model';
import { PAGE_FLAG, pageTypeName } from '../igvm/page-data';
import { platformOf } from '../igvm/platforms';
import { PAGE_SIZE } from '../memory/page';

/** What an image consists of before it is written, a line for each platform, range of pages and other directive. */
export function imageSummary({ platforms, directives }: IgvmFile): string {
  const lines = platforms.map(
    ({ platformType, compatibilityMask }) =>
      `platform ${platformOf(platformType)?.label ?? platformType}, mask 0x${compatibilityMask.toString(16)}`,
  );
  return [...lines, ...directives.map(line), ''].join('\n');
}

function line(directive: Directive): string {
  if (directive.type === 'unknown') return `header type 0x${directive.headerType.toString(16)}`;
  if (directive.type !== 'pageData') {
    const where = 'gpa' in directive ? ` at 0x${directive.gpa.toString(16)}` : '';
    return `${directive.type === 'parameter' ? directive.kind : HEADER_LABEL[directive.type]}${where}`;
  }
  const { gpa, pageCount, compatibilityMask, dataType, flags, content } = directive;
  const how = (flags & PAGE_FLAG.UNMEASURED) === 0 ? 'measured' : 'not measured';
  const what = content.size === 0 ? 'without data' : 'with data';
  const range = hexRange(gpa, gpa + pageCount * PAGE_SIZE);
  return `${pageTypeName(dataType)} pages ${range}, mask 0x${compatibilityMask.toString(16)}, ${what}, ${how}`;
}
