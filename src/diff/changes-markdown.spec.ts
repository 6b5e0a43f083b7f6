/** The differences between two images that a reviewer sees. */
import { marked } from 'marked';
import { fileOf, hashes, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { type ComparedImage, diffImages } from './diff-images';
import { launchesOf } from '../measurement/launches';
import { changesMarkdown } from './changes-markdown';
import { diffMarkdown, diffText } from './diff-text';
import { parseMap } from '../regions/image-map';

const pages = (...seeds: number[]): Uint8Array => Buffer.concat(seeds.map(patternPage));

async function image(file: IgvmFile, map?: string): Promise<ComparedImage> {
  const source = bytesSource((await written(file)).bytes);
  return { source, file: readIgvm(source, hashes), map: map === undefined ? undefined : parseMap(map) };
}

const diffOf = async (a: IgvmFile, b: IgvmFile, map?: string) => diffImages(await image(a, map), await image(b, map));

describe('a diff for a pull request', () => {
  const map = [
    'IGVM file isolation: SNP',
    'IGVM file layout:',
    '  0000000000000000 - 0000000000001000 (0x1000 bytes) linux-commandline',
    '  0000000000001000 - 0000000000002000 (0x1000 bytes) linux-initrd',
    '',
  ].join('\n');
  const snp = (commandLine: string, initrd: number): IgvmFile =>
    fileOf(
      [
        runOf(0, Buffer.concat([Buffer.from(commandLine), Buffer.alloc(PAGE_SIZE - commandLine.length)])),
        runOf(PAGE_SIZE, pages(initrd)),
      ],
      {
        platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
        initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 1 }],
      },
    );

  it('shows the digests of the requested launches, regions, and command lines as text', async () => {
    const [a, b] = [await image(snp('console=ttyS0', 1), map), await image(snp('console=ttyS0 ` |', 2), map)];
    const launches = launchesOf({ vmm: 'qemu-kvm', vcpus: [1, 2], cpu: ['EPYC-Milan'] });
    const text = diffMarkdown(await diffImages(a, b, launches), ['old.igvm', 'new.igvm']);
    for (const launch of ['hyperv', 'qemu-kvm vcpus 1 cpu EPYC-Milan', 'qemu-kvm vcpus 2 cpu EPYC-Milan']) {
      expect(text).toMatch(new RegExp(`^\\| \`${launch}\` \\| \`[0-9A-F]{96}\` \\| \`[0-9A-F]{96}\` \\|$`, 'm'));
    }
    expect(text).toContain('### `old.igvm → new.igvm`\n\n**SEV_SNP**\n');
    expect(text).toContain('Command line `linux-commandline`:\n\n```diff\n- console=ttyS0\n+ console=ttyS0 ` |\n```');
    expect(text).toContain('- `linux-commandline, linux-initrd 0x0-0x2000: other contents`');
    expect(diffMarkdown(await diffImages(a, a), ['x', 'x'])).toBe('The images are the same.\n');
  });

  it('compares no command lines if an image has no map file, because only that locates them', async () => {
    const [a, b] = [await image(snp('console=ttyS0', 1), map), await image(snp('console=ttyS0', 2))];
    for (const difference of [await diffImages(a, b), await diffImages(b, a)]) {
      expect(difference.guests[0]?.commandLines).toEqual([]);
      expect(difference.guests[0]?.pages).toHaveLength(1);
    }
  });

  it('says why a launch has no digest, like a diff as text', async () => {
    const corim = (each: IgvmFile): IgvmFile => ({
      ...each,
      initializations: [
        ...each.initializations,
        { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(new Uint8Array(8)) },
      ],
    });
    const [a, b] = [await image(snp('a', 1)), await image(corim(snp('a', 1)))];
    const difference = await diffImages(a, b, launchesOf({ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] }));
    expect(diffMarkdown(difference, ['a', 'b'])).toMatch(
      /`[0-9A-F]{96}` \| `cannot be measured: QEMU refuses this file: .*CoRIM/,
    );
    expect(diffText(difference)).toMatch(
      /launched by qemu-kvm vcpus 2 cpu EPYC-Milan:\n {4}A [0-9A-F]{96}\n {4}B cannot be measured/,
    );
  });

  it.each(['a | b', 'a \\| b', '`', '`` ``` `', ' ', ' a ', 'a\n| b |', '<b>', '\\'])(
    'shows %j unchanged in one cell of a table',
    async (text) => {
      const digests = [{ launch: text, before: text, after: 'end' }];
      const guest = { name: 'X', digests, commandLines: [], changes: [] };
      const page = await marked.parse(changesMarkdown([{ title: 'x', notes: [], guests: [guest] }], ''));
      const cells = [...page.matchAll(/<td>(.*?)<\/td>/gs)].map(([, cell]) => cell);
      expect(cells).toHaveLength(3);
      expect(cells[2]).toBe('<code>end</code>');
      expect(cells[1]).toBe(cells[0]);
      if (text.trim() !== '') expect(cells[0]).toMatch(/^<code>[^<]*<\/code>$/);
    },
  );

  it('lists at most 100 changes', async () => {
    const many = (seed: number) => Array.from({ length: 150 }, (_, index) => runOf(2 * index * PAGE_SIZE, pages(seed)));
    const text = diffMarkdown(await diffOf(fileOf(many(1)), fileOf(many(2))), ['a', 'b']);
    expect([text.match(/^- `/gm)?.length, text.includes('- and 50 more')]).toEqual([100, true]);
  });
});
