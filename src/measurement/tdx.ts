import { createHash } from 'node:crypto';
import { type Directive, PAGE_FLAG, type PageDataDirective } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { isForPlatform, type LaunchDigests, type LaunchResult, ParameterAreas } from './launch-digests';

/** Bytes of a record's head: operation (16), GPA (8), zeros (104). */
const HEAD_SIZE = 128;

/** Bytes of guest memory in one TDH.MR.EXTEND. */
const EXTEND_SIZE = 256;

const EXTENDS_PER_PAGE = PAGE_SIZE / EXTEND_SIZE;
const RECORD_SIZE = HEAD_SIZE + EXTENDS_PER_PAGE * (HEAD_SIZE + EXTEND_SIZE);

/** Pages hashed in one call: few enough for the cache, enough to make the call cheap. */
const BATCH = 16;

/**
 * MRTD: one SHA-384 over a record for every page added and one for every 256 bytes of its contents (Intel TDX module
 * base specification, "MRTD: Build-Time Measurement Register"; the igvm crate, measurement/tdx.rs).
 */
export class TdxLaunchDigest implements LaunchDigests {
  private readonly hash = createHash('sha384');
  private readonly areas = new ParameterAreas();
  /** Records of BATCH pages: the operations' names are in place, GPAs and contents are filled in. */
  private readonly records = new Uint8Array(BATCH * RECORD_SIZE);
  private readonly view = new DataView(this.records.buffer);

  constructor(readonly compatibilityMask: number) {
    const pageAdd = new TextEncoder().encode('MEM.PAGE.ADD');
    const extend = new TextEncoder().encode('MR.EXTEND');
    for (let page = 0; page < BATCH; page++) {
      const record = page * RECORD_SIZE;
      this.records.set(pageAdd, record);
      for (let index = 0; index < EXTENDS_PER_PAGE; index++) this.records.set(extend, record + extendAt(index));
    }
  }

  directive(directive: Exclude<Directive, PageDataDirective>): void {
    if (!isForPlatform(directive, this.compatibilityMask)) return;
    if (directive.type === 'parameterArea') this.areas.add(directive);
    else if (directive.type === 'parameterInsert') {
      for (const gpa of this.areas.pagesOf(directive)) this.addUnmeasured(gpa);
    }
  }

  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (!isForPlatform(run, this.compatibilityMask) || (run.flags & PAGE_FLAG.SHARED) !== 0) return;
    const gpa = run.gpa + firstPage * PAGE_SIZE;
    if ((run.flags & PAGE_FLAG.UNMEASURED) !== 0) {
      for (let page = 0; page < pageCount; page++) this.addUnmeasured(gpa + page * PAGE_SIZE);
      return;
    }
    for (let page = 0; page < pageCount; page += BATCH) {
      const count = Math.min(BATCH, pageCount - page);
      for (let index = 0; index < count; index++) {
        const offset = (page + index) * PAGE_SIZE;
        this.fillRecord(index, gpa + offset, bytes?.subarray(offset, offset + PAGE_SIZE));
      }
      this.hash.update(this.records.subarray(0, count * RECORD_SIZE));
    }
  }

  async results(): Promise<LaunchResult[]> {
    return [{ digest: this.hash.digest(), refusals: [], warnings: [] }];
  }

  async close(): Promise<void> {}

  private fillRecord(index: number, gpa: number, page: Uint8Array | undefined): void {
    const record = index * RECORD_SIZE;
    this.setGpa(record, gpa);
    for (let extend = 0; extend < EXTENDS_PER_PAGE; extend++) {
      const at = record + extendAt(extend);
      const offset = extend * EXTEND_SIZE;
      this.setGpa(at, gpa + offset);
      const data = at + HEAD_SIZE;
      if (page === undefined) this.records.fill(0, data, data + EXTEND_SIZE);
      else this.records.set(page.subarray(offset, offset + EXTEND_SIZE), data);
    }
  }

  private addUnmeasured(gpa: number): void {
    this.setGpa(0, gpa);
    this.hash.update(this.records.subarray(0, HEAD_SIZE));
  }

  private setGpa(record: number, gpa: number): void {
    this.view.setBigUint64(record + 16, BigInt(gpa), true);
  }
}

/** Offset of an MR.EXTEND record within those of its page. */
const extendAt = (index: number): number => HEAD_SIZE + index * (HEAD_SIZE + EXTEND_SIZE);
