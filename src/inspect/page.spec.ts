import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { parseMap } from '../regions/image-map';
import {
  anyIgvmFile,
  fileOf,
  hashes,
  patternPage,
  platformOf,
  runOf,
  vbsContext,
  written,
} from '../igvm/igvm-file.fixture';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { imageDigests } from '../measurement/measure';
import { nativeImage } from '../boot/native-image.fixture';
import { describePage } from './described-page';
import { inspectPage } from './page';

async function pageOf(file: IgvmFile, map?: string, name = 'image.igvm'): Promise<string> {
  const source = bytesSource((await written(file)).bytes);
  const image = readIgvm(source, hashes);
  const described = await describePage({ file: image, source }, { map: map === undefined ? undefined : parseMap(map) });
  return inspectPage({ source, file: image, name, described });
}

const commandLine = (text: string): Uint8Array => {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(Buffer.from(text));
  return page;
};

const mapWith = (tag: string): string =>
  `IGVM file isolation: None\nIGVM file layout:\n  0000000000001000 - 0000000000002000 (0x1000 bytes) ${tag}\n`;

describe('the page about an image', () => {
  it('refers to no other file', async () => {
    const page = await pageOf(fileOf([runOf(0, patternPage(1))]));
    expect(page).not.toMatch(/(?:src|href)="(?!#|data:,")/);
    expect(page).not.toMatch(/url\(|@import|https?:/);
  });

  it('says which registers a native context leaves to the VMM', async () => {
    expect(await pageOf(nativeImage())).toContain('PAT and the MTRRs are set by the VMM');
    expect(await pageOf(fileOf([runOf(0, patternPage(1))]))).not.toContain('set by the VMM');
  });

  it('allows only its own script and style sheet', async () => {
    const page = await pageOf(fileOf([]));
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!.replaceAll('&#39;', "'");
    expect(policy).toContain("default-src 'none'");
    for (const [tag, directive] of [
      ['style', 'style-src'],
      ['script', 'script-src'],
    ] as const) {
      const [, content = ''] = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(page)!;
      expect(policy).toContain(`${directive} 'sha256-${createHash('sha256').update(content).digest('base64')}'`);
    }
    expect(page).not.toMatch(/ (?:style|on\w+)="/);
  });

  it('shows a command line as text', async () => {
    const page = await pageOf(
      fileOf([runOf(0x1000, commandLine('a=1 <script>alert(1)</script>'))]),
      mapWith('cmdline'),
    );
    expect(page).toContain('<pre class="text">a=1 &lt;script&gt;alert(1)&lt;/script&gt;</pre>');
    expect(page.match(/<script/g)).toHaveLength(1);
  });

  it('has the same markup whatever the names of the image and its regions', async () => {
    const file = fileOf([runOf(0x1000, patternPage(1))]);
    const tags = (page: string) => page.match(/<\/?[a-z][a-z0-9]*/g);
    const plain = tags(await pageOf(file, mapWith('plain'), 'plain'));
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (name) => {
        const tag = `x${name.replaceAll('\n', ' ')}`;
        expect(tags(await pageOf(file, mapWith(tag), `x${name}`))).toEqual(plain);
      }),
      { numRuns: 15 },
    );
  });

  it('shows the initial registers', async () => {
    const context = {
      type: 'vpContext' as const,
      format: 'vbs' as const,
      gpa: 0,
      compatibilityMask: 1,
      vpIndex: 0,
      data: vbsContext(0),
    };
    const page = await pageOf(fileOf([runOf(0x1000, patternPage(1)), context]), mapWith('kernel'));
    expect(page).toContain('Initial registers of processors');
    expect(page).toMatch(/<th scope="row" class="mono">rip<\/th>/);
  });

  it('has the digests of every platform', async () => {
    const platforms = [platformOf(PLATFORM_TYPE.VSM_ISOLATION, 1), platformOf(PLATFORM_TYPE.SEV_SNP, 2)];
    const file = fileOf([runOf(0, patternPage(1), { compatibilityMask: 3 })], { platforms });
    const digests = await imageDigests(file);
    expect(digests.map(({ platform, launch }) => [platform, launch?.vmm])).toEqual([
      ['vbs', undefined],
      ['snp', 'hyperv'],
    ]);
    const page = await pageOf(file);
    for (const { digest, reason } of digests) expect(page).toContain(digest?.toLowerCase() ?? reason);
  });

  it('can be made from any file', async () => {
    await fc.assert(
      fc.asyncProperty(anyIgvmFile(), async (file) => {
        expect(await pageOf(file)).toMatch(/^<!doctype html>[^]*<\/html>\n$/);
      }),
      { numRuns: 15 },
    );
  });
});
