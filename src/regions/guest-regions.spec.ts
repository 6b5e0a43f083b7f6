import fc from 'fast-check';
import { guestPages } from './guest-pages';
import { guestRegions, joinRegions, regionName } from './guest-regions';
import type { TaggedRange } from './image-map';
import { anyIgvmFile, fileOf, patternPage, runOf } from '../igvm/igvm-file.fixture';
import { type Directive, PAGE_DATA_TYPE, PAGE_FLAG } from '../igvm/model';
import { EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';

const page = (number: number): number => number * PAGE_SIZE;
const data = (count: number): Uint8Array =>
  Buffer.concat(Array.from({ length: count }, (_, index) => patternPage(index + 1)));
const tag = (first: number, end: number, name: string): TaggedRange => ({
  gpa: page(first),
  end: page(end),
  tag: name,
});
const regionsOf = (directives: Directive[], tags: TaggedRange[] = []) => guestRegions(fileOf(directives), 1, tags);
const summary = (directives: Directive[], tags: TaggedRange[] = []) =>
  regionsOf(directives, tags).map((region) => [
    region.gpa / PAGE_SIZE,
    region.end / PAGE_SIZE,
    regionName(region),
    region.kind,
  ]);

describe('the regions of a guest', () => {
  it('are split where the name in the map changes, whatever the runs', () => {
    const runs = [runOf(0, data(3)), runOf(page(3), data(2))];
    expect(summary(runs, [tag(0, 1, 'gdt'), tag(1, 4, 'kernel'), tag(4, 5, 'initrd')])).toEqual([
      [0, 1, 'gdt', 'data'],
      [1, 4, 'kernel', 'data'],
      [4, 5, 'initrd', 'data'],
    ]);
  });

  it('with the same name are joined even if some pages are empty', () => {
    const runs = [runOf(0, data(1), { pageCount: 4 })];
    const [region] = regionsOf(runs, [tag(0, 4, 'heap')]);
    expect(region).toMatchObject({ gpa: 0, end: page(4), kind: 'data', emptyPages: 3 });
    expect(summary(runs)).toEqual([
      [0, 1, 'data', 'data'],
      [1, 4, 'empty, zeros', 'empty'],
    ]);
  });

  it('may outnumber the arguments that a call allows, and so may the parameters of one region', () => {
    const many = 200_000;
    const parameters = Array.from(
      { length: many },
      (): Directive => ({
        type: 'parameter',
        kind: 'vpCount',
        index: 0,
        byteOffset: 0,
      }),
    );
    const contexts = Array.from(
      { length: many },
      (_, index): Directive => ({
        type: 'vpContext',
        format: 'snp',
        gpa: page(index + 1),
        compatibilityMask: 1,
        vpIndex: 0,
        data: new Uint8Array(0),
      }),
    );
    const regions = regionsOf([
      { type: 'parameterArea', index: 0, size: PAGE_SIZE, initialData: EMPTY_SOURCE },
      ...parameters,
      { type: 'parameterInsert', index: 0, gpa: 0, compatibilityMask: 1 },
      ...contexts,
    ]);
    expect(regions).toHaveLength(many + 1);
    expect(regions[0]?.parameters).toHaveLength(many);
  });

  it('are separated by how the launch treats their pages', () => {
    const empty = (number: number, more: object) => runOf(page(number), EMPTY_SOURCE, { pageCount: 1, ...more });
    expect(
      summary([
        empty(0, { flags: PAGE_FLAG.UNMEASURED }),
        empty(1, { flags: PAGE_FLAG.SHARED }),
        empty(2, { dataType: PAGE_DATA_TYPE.SECRETS }),
        empty(3, { dataType: PAGE_DATA_TYPE.CPUID_DATA }),
        empty(4, { dataType: PAGE_DATA_TYPE.CPUID_XF }),
      ]).map(([, , , kind]) => kind),
    ).toEqual(['unmeasured', 'shared', 'secrets', 'cpuid']);
  });

  it('include what the VMM fills in, and pages with processor state', () => {
    const directives: Directive[] = [
      { type: 'parameterArea', index: 7, size: page(2), initialData: EMPTY_SOURCE },
      { type: 'parameter', kind: 'madt', index: 7, byteOffset: 0 },
      { type: 'parameterInsert', gpa: page(4), compatibilityMask: 1, index: 7 },
      {
        type: 'vpContext',
        format: 'snp',
        gpa: page(9),
        compatibilityMask: 1,
        vpIndex: 3,
        data: new Uint8Array(PAGE_SIZE),
      },
    ];
    expect(summary(directives)).toEqual([
      [4, 6, 'madt', 'parameters'],
      [9, 10, 'VP 3 context', 'vpContext'],
    ]);
  });

  it('are limited to one platform', () => {
    expect(summary([runOf(0, data(1), { compatibilityMask: 2 })])).toEqual([]);
  });

  it('cover exactly the pages of the guest, however a map names them', () => {
    const tags = fc.array(fc.record({ gpa: fc.nat(2 ** 24), end: fc.nat(2 ** 25), tag: fc.string() }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(anyIgvmFile(), tags, (file, names) => {
        const sorted = names.sort((a, b) => a.gpa - b.gpa);
        for (const { compatibilityMask } of file.platforms) {
          const regions = guestRegions(file, compatibilityMask, sorted);
          const spans = regions.flatMap((region) => region.spans).sort((a, b) => a.gpa - b.gpa);
          const sizes = (list: { gpa: number; end: number }[]) =>
            list.reduce((sum, { gpa, end }) => sum + end - gpa, 0);
          expect(sizes(spans)).toBe(sizes(guestPages(file, compatibilityMask)));
          for (const region of regions) expect(region.gpa % PAGE_SIZE).toBe(0);
        }
      }),
    );
  });
});

describe('too many regions', () => {
  it('are joined with their neighbours, closest first', () => {
    const runs = [runOf(0, data(1)), runOf(page(2), data(1)), runOf(page(100), data(1))];
    expect(joinRegions(regionsOf(runs), 2).map(({ gpa, end }) => [gpa / PAGE_SIZE, end / PAGE_SIZE])).toEqual([
      [0, 3],
      [100, 101],
    ]);
    expect(joinRegions(regionsOf(runs), 1)).toHaveLength(1);
  });

  it('keep all names, of which a label shows a few', () => {
    const names = ['a', 'b', 'c', 'd', 'e'].map((name, index) => tag(index, index + 1, name));
    const [joined] = joinRegions(regionsOf([runOf(0, data(5))], names), 1);
    expect(joined!.tags).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(regionName(joined!)).toBe('a, b, c and 2 more');
  });
});
