import type { Directive, PageDataDirective } from '../../igvm/model';
import { streamDirectives } from '../../igvm/stream';
import { PAGE_SIZE } from '../../memory/page';
import { decodeVbsContext } from '../../vp-context/vbs';
import { type BuiltGuest, GuestBuilder } from './guest-builder';
import { type GuestSpec, guestPlatform } from './guest-platform';
import type { ImageImporter } from './importer';

/** A guest after a loader has laid it out, with the bytes of all its pages. */
export class LaidOutGuest {
  private readonly pages = new Map<number, Uint8Array>();

  private constructor(readonly built: BuiltGuest) {}

  static async of(spec: Partial<GuestSpec>, load: (importer: ImageImporter) => void): Promise<LaidOutGuest> {
    const builder = new GuestBuilder(guestPlatform({ arch: 'x64', isolation: { type: 'none' }, maxVtl: 0, ...spec }));
    load(builder);
    const guest = new LaidOutGuest(builder.finish());
    const collect = (run: PageDataDirective, first: number, count: number, bytes: Uint8Array | undefined): void => {
      for (let index = 0; index < count && bytes !== undefined; index++) {
        const page = bytes.slice(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
        guest.pages.set(run.gpa + (first + index) * PAGE_SIZE, page);
      }
    };
    await streamDirectives(guest.built.file, [...guest.built.observers, { pages: collect }]);
    return guest;
  }

  /** `tag start-end`, in hexadecimal, by ascending address. */
  get map(): string[] {
    return this.built.map.acceptedRanges.map(
      ({ tag, pageBase, pageCount }) =>
        `${tag} ${(pageBase * PAGE_SIZE).toString(16)}-${((pageBase + pageCount) * PAGE_SIZE).toString(16)}`,
    );
  }

  get notes(): string[] {
    return this.built.notes;
  }

  get details(): string[] {
    return this.built.details;
  }

  /** First GPA of the range with the tag. */
  gpaOf(tag: string): number {
    const range = this.built.map.acceptedRanges.find((each) => each.tag === tag);
    if (range === undefined) throw new Error(`no range ${tag}`);
    return range.pageBase * PAGE_SIZE;
  }

  /** The bytes of a page that has file data. */
  page(gpa: number): DataView {
    const bytes = this.pages.get(gpa);
    if (bytes === undefined) throw new Error(`page ${gpa.toString(16)} is empty`);
    return new DataView(bytes.buffer);
  }

  isEmpty(gpa: number): boolean {
    return !this.pages.has(gpa);
  }

  directives<T extends Directive['type']>(type: T): Extract<Directive, { type: T }>[] {
    return this.built.file.directives.filter((each): each is Extract<Directive, { type: T }> => each.type === type);
  }

  /** The registers of its VBS context in hexadecimal: values, tables `base limit`, segments `selector attributes limit`. */
  get registers(): string[] {
    const context = this.directives('vpContext').find(({ format }) => format === 'vbs');
    if (context === undefined) throw new Error('no VBS context');
    const text = (...values: (number | bigint)[]): string => values.map((value) => value.toString(16)).join(' ');
    return decodeVbsContext(context.data, this.built.file.arch).registers.map((register) => {
      if ('table' in register) return `${register.name} ${text(register.table.base, register.table.limit)}`;
      if ('value' in register) return `${register.name} ${text(register.value)}`;
      const { selector, attributes, limit } = register.segment;
      return `${register.name} ${text(selector, attributes, limit)}`;
    });
  }

  /** The page data run that holds the GPA. */
  run(gpa: number): PageDataDirective {
    const run = this.directives('pageData').find(
      (each) => each.gpa <= gpa && gpa < each.gpa + each.pageCount * PAGE_SIZE,
    );
    if (run === undefined) throw new Error(`no page data at ${gpa.toString(16)}`);
    return run;
  }
}

export const hex = (view: DataView, offset: number, size: number): string =>
  Buffer.from(view.buffer, view.byteOffset + offset, size).toString('hex');
