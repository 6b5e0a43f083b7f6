import { PAGE_SIZE } from '../memory/page';
import type { GuestDifference, ImageDifference } from './diff-images';
import { diffText } from './diff-text';

const guest = (more: Partial<GuestDifference>): GuestDifference => ({
  platform: 'TDX',
  headers: [],
  registers: [],
  pages: [],
  digests: [],
  commandLines: [],
  ...more,
});
const textOf = (more: Partial<ImageDifference>): string[] =>
  diffText({ isSame: false, file: [], guests: [], ...more }).split('\n');

describe('a diff as text', () => {
  it('names guests that only one file has', () => {
    expect(textOf({ guests: [guest({ onlyIn: 'a' }), guest({ platform: 'SEV_SNP', onlyIn: 'b' })] })).toEqual([
      'TDX: only in A',
      'SEV_SNP: only in B',
      '',
    ]);
  });

  it('shows facts of one file and of both, of the file and of its guests', () => {
    const facts = [
      { what: 'x', a: '1' },
      { what: 'y', b: '2' },
      { what: 'z', a: '3', b: '\u001b4' },
    ];
    expect(textOf({ file: facts.slice(0, 1), guests: [guest({ headers: facts, registers: facts.slice(2) })] })).toEqual(
      [
        'file:',
        '  x: only in A: 1',
        'TDX:',
        '  headers:',
        '    x: only in A: 1',
        '    y: only in B: 2',
        '    z:',
        '      A 3',
        '      B \\u{1b}4',
        '  registers:',
        '    z:',
        '      A 3',
        '      B \\u{1b}4',
        '',
      ],
    );
  });

  it('shows the fields of a long header on lines of their own', () => {
    const header = (key: string): string => `svn 1  publicKey ${key.repeat(160)}`;
    expect(
      textOf({
        guests: [
          guest({
            headers: [
              { what: 'id', b: header('b') },
              { what: 'x', a: header('c'), b: 'svn 1  y 2' },
            ],
          }),
        ],
      }),
    ).toEqual([
      'TDX:',
      '  headers:',
      '    id: only in B:',
      '      svn 1',
      `      publicKey ${'b'.repeat(160)}`,
      '    x:',
      '      A',
      '        svn 1',
      `        publicKey ${'c'.repeat(160)}`,
      '      B svn 1  y 2',
      '',
    ]);
  });

  it('shows how ranges of pages differ, with their names in the maps', () => {
    const range = { gpa: 0x1000, end: 0x1000 + PAGE_SIZE, tags: [] };
    const pages: GuestDifference['pages'] = [
      { ...range, difference: 'onlyInA', tags: ['kernel'] },
      { ...range, difference: 'onlyInB', tags: ['kernel', 'in\u009bitrd'] },
      { ...range, difference: 'type', a: 'NORMAL', b: 'NORMAL SHARED' },
      { ...range, difference: 'contents' },
      { ...range, difference: 'stored' },
    ];
    expect(textOf({ guests: [guest({ pages })] })).toEqual([
      'TDX:',
      '  pages (1 differ):',
      '    0x1000-0x2000  only in A  [kernel]',
      '    0x1000-0x2000  only in B  [kernel, in\\u{9b}itrd]',
      '    0x1000-0x2000  type NORMAL in A, NORMAL SHARED in B',
      '    0x1000-0x2000  contents differ',
      '    0x1000-0x2000  zeros are stored in one file only',
      '',
    ]);
  });

  it('shows digests, or why there is none', () => {
    const digests = [{ vmm: 'hyperv' as const, a: { digest: 'AB' }, b: { reason: 'it has no policy' } }];
    expect(textOf({ guests: [guest({ digests })] })).toEqual([
      'TDX:',
      '  launch digest, launched by hyperv:',
      '    A AB',
      '    B cannot be measured: it has no policy',
      '',
    ]);
  });
});
