import { type ByteSource, EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { readAddress } from './headers/struct';
import { PAGE_DATA } from './headers/field-tables';
import type { PageDataDirective } from './model';
import { IgvmError } from '../errors/igvm-error';

/** Turns page headers back into runs: pages that follow each other in the guest and in the file. */
export class RunCollector {
  private gpa = 0;
  private pageCount = 0;
  private flags = 0;
  private dataType = 0;
  private compatibilityMask = 0;
  /** Offset of the first page in the file; 0: the pages are empty. */
  private fileOffset = 0;
  /** Offset of its header in the file. */
  private headerOffset = 0;

  /**
   * @param region file data by offset and size, checked against the file
   * @param emit takes the runs, in file order
   */
  constructor(
    private readonly region: (offset: number, size: number) => ByteSource,
    private readonly emit: (run: PageDataDirective) => void,
  ) {}

  /**
   * Adds the IGVM_VHS_PAGE_DATA at `at`.
   * @param headerOffset byte offset of its header in the file, for messages
   * @throws IgvmError IGVM_MALFORMED; for an earlier run, with the byte offset of its first header
   */
  add(view: DataView, at: number, headerOffset: number): void {
    const { offsets } = PAGE_DATA;
    const gpa = readAddress(view, at + offsets.gpa, 'gpa');
    const compatibilityMask = view.getUint32(at + offsets.compatibilityMask, true);
    const fileOffset = view.getUint32(at + offsets.fileOffset, true);
    const flags = view.getUint32(at + offsets.flags, true);
    const dataType = view.getUint16(at + offsets.dataType, true);
    if (view.getUint16(at + PAGE_DATA.size - 2, true) !== 0) {
      throw new IgvmError('IGVM_MALFORMED', 'a reserved field is not zero');
    }
    if (
      this.pageCount > 0 &&
      gpa === this.gpa + this.pageCount * PAGE_SIZE &&
      fileOffset === (this.fileOffset === 0 ? 0 : this.fileOffset + this.pageCount * PAGE_SIZE) &&
      compatibilityMask === this.compatibilityMask &&
      flags === this.flags &&
      dataType === this.dataType
    ) {
      this.pageCount++;
      return;
    }
    this.finish();
    this.gpa = gpa;
    this.pageCount = 1;
    this.flags = flags;
    this.dataType = dataType;
    this.compatibilityMask = compatibilityMask;
    this.fileOffset = fileOffset;
    this.headerOffset = headerOffset;
  }

  /**
   * Emits the run that is being collected. Called when it can't go on: another header follows.
   * @throws IgvmError IGVM_MALFORMED with the byte offset of the run's first header
   */
  finish(): void {
    const { gpa, pageCount, flags, dataType, compatibilityMask, fileOffset } = this;
    if (pageCount === 0) return;
    this.pageCount = 0;
    const content = fileOffset === 0 ? EMPTY_SOURCE : this.contentAt(fileOffset, pageCount * PAGE_SIZE);
    this.emit({ type: 'pageData', gpa, pageCount, flags, dataType, compatibilityMask, content });
  }

  private contentAt(offset: number, size: number): ByteSource {
    try {
      return this.region(offset, size);
    } catch (error) {
      throw error instanceof IgvmError ? error.at({ offset: this.headerOffset }) : error;
    }
  }
}
