import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { makeInputs } from '../conformance/make-inputs';
import { debianKernel, needingKernel } from './debian-kernel';
import { findChromium, needingBrowser } from './harness/browser';
import { runOk } from './harness/run';
import { REPOSITORY } from './harness/template';
import { extractVmlinux } from './vmlinux';

const executable = findChromium();

/** A range of a map file. */
interface MapLine {
  start: string;
  size: number;
  tag: string;
}

const guest = (isolation: object | 'none', image: object, maxVtl: number) => ({
  guest_svn: 1,
  max_vtl: maxVtl,
  isolation_type: isolation,
  image,
});
const snp = { policy: 196608, enable_debug: true, injection_type: 'normal', secure_avic: 'disabled' };
const openhcl = {
  openhcl: { command_line: 'OPENHCL_BOOT_LOG=com3', memory_page_count: 16384, uefi: false, memory_page_base: 32768 },
};

/** Text with markup, and text that looks like other text. */
const COMMAND_LINE = 'console=ttyS0 </script><script>document.title="owned"</script> "quoted" \u202E&amp;';

const VBS = guest({ vbs: { enable_debug: true } }, openhcl, 2);
const SNP = guest({ snp: { ...snp, shared_gpa_boundary_bits: 46 } }, openhcl, 2);
const TDX = guest({ tdx: { enable_debug: false, sept_ve_disable: true } }, openhcl, 2);
const OPENHCL_FILES = {
  underhill_kernel: 'vmlinux-x64.elf',
  openhcl_boot: 'openhcl_boot-x64.elf',
  underhill_initrd: 'initrd-small.bin',
};

const IMAGES = {
  two: { guest_configs: [SNP, TDX], resources: OPENHCL_FILES },
  linux: {
    guest_configs: [
      guest(
        { snp: { ...snp, shared_gpa_boundary_bits: null } },
        {
          snp_linux_direct: {
            processor_count: 1,
            linux: { use_initrd: true, command_line: COMMAND_LINE },
            memory_page_count: 40960,
            c_bit_position: 51,
          },
        },
        0,
      ),
    ],
    resources: { linux_kernel: 'vmlinux-x64.elf', linux_initrd: 'initrd-small.bin' },
  },
  openhcl: { guest_configs: [VBS, SNP, TDX], resources: OPENHCL_FILES },
} as const;

let folder: string;
let browser: Browser;
const nxIgvm = (...args: string[]) =>
  runOk(process.execPath, [join(REPOSITORY, 'dist/cli/nx-igvm.js'), ...args], { cwd: folder });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-page-'));
  makeInputs(folder, ['vmlinux-x64.elf', 'openhcl_boot-x64.elf', 'initrd-small.bin']);
  for (const [name, manifest] of Object.entries(IMAGES)) {
    writeFileSync(join(folder, `${name}.igvm.json`), JSON.stringify({ guest_arch: 'x64', ...manifest }));
    await nxIgvm('build', `${name}.igvm.json`, '-o', `${name}.igvm`);
    await nxIgvm('inspect', `${name}.igvm`);
  }
  if (executable !== undefined) {
    // As root, which containers of CI are, Chromium has no sandbox. The page is ours.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    browser = await chromium.launch({ executablePath: executable, args });
  }
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const inBrowser = needingBrowser().it.each;

/** The guests of a map file, with named ranges by ascending address. */
function mapOf(name: string): MapLine[][] {
  const guests = readFileSync(join(folder, `${name}.igvm.map`), 'utf8')
    .split('IGVM file isolation:')
    .slice(1);
  return guests.map((text) => {
    const layout = text.slice(text.indexOf('IGVM file layout:'), text.indexOf('IGVM file required memory:'));
    return [...layout.matchAll(/^ {2}([0-9a-f]{16}) - [0-9a-f]{16} \(0x([0-9a-f]+) bytes\) (.*)$/gm)].map(
      ([, start = '', size = '', tag = '']) => ({
        start: `0x${BigInt(`0x${start}`).toString(16)}`,
        size: Number.parseInt(size, 16),
        tag,
      }),
    );
  });
}

/** Opens the page of an image. Fails if the browser reports an error or requests anything. */
async function open(name: string, colorScheme: 'light' | 'dark' = 'light', width = 1280): Promise<Page> {
  const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
  const complaints: string[] = [];
  const url = pathToFileURL(join(folder, `${name}.html`)).href;
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:')) complaints.push(`asks for ${request.url()}`);
  });
  await page.goto(url);
  expect(complaints).toEqual([]);
  return page;
}

/** The region with the focus, if any; runs in the page. */
const FOCUSED_REGION = `(() => {
  const link = document.activeElement;
  if (!link.matches('a.region')) return undefined;
  const id = link.getAttribute('href').slice(1);
  return { id, isShown: getComputedStyle(document.getElementById(id)).display !== 'none' };
})()`;

/** Texts that don't fit into the visible rows of maps; runs in the page. */
const CUT_TEXTS = `[...document.querySelectorAll('.region *')]
  .filter((each) => each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1)
  .map((each) => each.textContent)`;

/** The number of printed sheets of a page. Chromium writes the object of each as plain text. */
async function printedPages(page: Page, format: string): Promise<number> {
  const pdf = await page.pdf({ format });
  return pdf.toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0;
}

const NAMES = ['linux', 'openhcl'];

describe('the page of inspect in a browser', () => {
  inBrowser(NAMES)('of %s shows every range of the map with its address and size', async (name) => {
    const page = await open(name);
    for (const [index, ranges] of mapOf(name).entries()) {
      expect(ranges.length).toBeGreaterThan(15);
      const guest = page.locator(`#guest-${index}`);
      const cards = await guest.locator('.card').allTextContents();
      expect(await guest.locator('a.region').count()).toBe(cards.length);
      expect(await guest.locator('rect.mark').count()).toBe(ranges.length);
      // Adjacent regions with the same name and kind are one row, and its card lists them.
      expect(cards.length).toBeLessThanOrEqual(ranges.length);
      for (const { start, size, tag } of ranges) {
        const end = `0x${(BigInt(start) + BigInt(size)).toString(16)}`;
        expect(cards.filter((card) => [tag, start, end].every((text) => card.includes(text)))).not.toEqual([]);
      }
    }
  });

  inBrowser(NAMES)('of %s reaches every region with Tab, and shows its content', async (name) => {
    const page = await open(name);
    const tabs = await page.locator('.tabs a').count();
    for (let guest = 0; guest < Math.max(1, tabs); guest++) {
      if (tabs > 0) {
        await page.locator('.tabs a').first().focus();
        for (let press = 0; press < guest; press++) await page.keyboard.press('ArrowRight');
      }
      const expected = await page.locator(`#guest-${guest} a.region`).count();
      const reached = new Set<string>();
      for (let press = 0; press < expected * 2 + 60 && reached.size < expected; press++) {
        await page.keyboard.press('Tab');
        const focused = await page.evaluate<{ id: string; isShown: boolean } | undefined>(FOCUSED_REGION);
        if (focused === undefined) continue;
        expect(focused).toEqual({ id: focused.id, isShown: true });
        expect(focused.id).toMatch(`region-${guest}-`);
        reached.add(focused.id);
      }
      expect(reached.size).toBe(expected);
    }
  });

  inBrowser(NAMES)('of %s is drawn to scale, except for breaks', async (name) => {
    const page = await open(name);
    for (const [index, ranges] of mapOf(name).entries()) {
      const heights = await page
        .locator(`#guest-${index} rect.mark`)
        .evaluateAll((marks) => marks.map((mark) => Number(mark.getAttribute('height'))));
      const seen = ranges.map(({ size }, place) => ({ size, height: heights[place] ?? 0 }));
      const largest = seen.reduce((most, each) => (each.size > most.size ? each : most));
      for (const { size, height } of seen) {
        const exact = (size * largest.height) / largest.size;
        expect(Math.abs(height - Math.max(1, exact))).toBeLessThan(0.02 + exact / 100);
      }
    }
  });

  inBrowser(NAMES)('of %s has the digests that measure prints', async (name) => {
    const page = await open(name);
    const text = await page.locator('#digests').innerText();
    for (const vmm of ['hyperv']) {
      const { measurements } = JSON.parse(
        (await nxIgvm('measure', `${name}.igvm`, '--vmm', vmm, '--json')).replace(/^warning.*$/gm, ''),
      ) as {
        measurements: { digest: string }[];
      };
      for (const { digest } of measurements) expect(text).toContain(digest.toLowerCase());
    }
  });

  inBrowser(['linux'])('of %s shows a command line as text, whatever it contains', async (name) => {
    const page = await open(name);
    expect(await page.title()).toBe('linux.igvm · IGVM image');
    expect(await page.locator('script').count()).toBe(1);
    const region = page.locator('a.region', { hasText: 'linux-commandline' });
    await region.focus();
    const card = await page.locator('.card.shown pre.text').innerText();
    expect(card).toBe(COMMAND_LINE.replace('\u202E', '\\u{202e}'));
  });

  inBrowser(['linux'])('of %s shows its name and those in its map as text, whatever they contain', async (name) => {
    const hostile = `'"><img src=x onerror="document.title=1"><svg onload=alert(2)>&lt;`;
    copyFileSync(join(folder, `${name}.igvm`), join(folder, `${hostile}.igvm`));
    const map = readFileSync(join(folder, `${name}.igvm.map`), 'utf8');
    const tag = `</title></svg></script>${hostile} -->]]>`;
    writeFileSync(join(folder, `${hostile}.igvm.map`), map.replaceAll('linux-kernel', tag));
    await nxIgvm('inspect', `${hostile}.igvm`);

    const page = await open(hostile);
    expect(await page.title()).toBe(`${hostile}.igvm · IGVM image`);
    expect(await page.locator('img, script + script').count()).toBe(0);
    expect(await page.locator('[onload], [onerror]').count()).toBe(0);
    expect(await page.locator('body').innerText()).toContain(tag);
  });

  inBrowser(['openhcl'])('of %s shows the main facts about each platform', async (name) => {
    const page = await open(name);
    const cards = (await page.locator('.cards li').allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '));
    expect(cards).toEqual([
      expect.stringMatching(/^VBS Debugging ALLOWED.* SVN 1 .*CoRIM/),
      expect.stringMatching(/^SEV-SNP Debugging ALLOWED.* SVN 1 .*CoRIM/),
      expect.stringMatching(/^TDX Debugging not allowed SVN 1 .*CoRIM/),
    ]);
    expect(await page.locator('#guest-1').textContent()).toContain('OPENHCL_BOOT_LOG=com3');
  });

  inBrowser(['openhcl'])('of %s opens the platform and the region in its address', async (name) => {
    const page = await open(name);
    expect(await page.locator('.platform:visible').count()).toBe(1);
    const id = await page.locator('#guest-2 .card').nth(3).getAttribute('id');
    await page.goto(`${page.url().replace(/#.*/, '')}#${id ?? ''}`);
    expect(await page.locator('.platform:visible').getAttribute('id')).toBe('guest-2');
    expect(await page.locator('.card:visible').getAttribute('id')).toBe(id);
  });

  inBrowser(['linux'])('of %s copies a digest', async (name) => {
    const page = await open(name);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.locator('#digests .copy').first().click();
    await page.locator('.copy', { hasText: 'Copied' }).waitFor();
    const digest = await page.locator('#digests .digest').first().innerText();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(digest);
    expect(digest).toMatch(/^[0-9a-f]{96}$/);
  });

  inBrowser(['linux'])('of %s says whether it agrees with a lock', async (name) => {
    const lock = join(folder, 'linux.lock');
    await nxIgvm('measure', `${name}.igvm`, '--update-lock', lock, '--allow-debug');
    await nxIgvm('inspect', `${name}.igvm`, '--lock', lock, '-o', 'agrees.html');
    expect(await (await open('agrees')).locator('.note').innerText()).toContain('Agrees with linux.lock');

    writeFileSync(lock, readFileSync(lock, 'utf8').replace('"debug": true', '"debug": false'));
    await nxIgvm('inspect', `${name}.igvm`, '--lock', lock, '-o', 'differs.html');
    const note = await (await open('differs')).locator('.note').innerText();
    expect(note).toContain('Differs from linux.lock');
    expect(note).toContain('debug: false before, now true');
  });

  inBrowser(['linux'])('of %s walks the map with the arrow keys', async (name) => {
    const page = await open(name);
    const regions = page.locator('a.region');
    await regions.first().focus();
    await page.keyboard.press('ArrowDown');
    expect(await regions.nth(1).evaluate((link) => link.matches(':focus'))).toBe(true);
    await page.keyboard.press('End');
    expect(await regions.last().evaluate((link) => link.matches(':focus'))).toBe(true);
  });

  inBrowser(['openhcl'])('of %s opens tabs with the keyboard', async (name) => {
    const page = await open(name);
    const opened = async (): Promise<(string | null)[]> => [
      await page.locator('.tabs a[aria-selected=true]').innerText(),
      await page.locator('.platform:visible').getAttribute('id'),
      await page.locator('.tabs a:focus').innerText(),
    ];
    await page.locator('.tabs a').first().focus();
    await page.keyboard.press('ArrowRight');
    expect(await opened()).toEqual(['SEV-SNP', 'guest-1', 'SEV-SNP']);
    await page.keyboard.press('End');
    expect(await opened()).toEqual(['TDX', 'guest-2', 'TDX']);
    await page.keyboard.press(' ');
    expect(new URL(page.url()).hash).toBe('#guest-2');
    await page.keyboard.press('Home');
    expect(await opened()).toEqual(['VBS', 'guest-0', 'VBS']);
  });

  inBrowser(['openhcl'])('of %s describes the region in which the guest starts, if there is room', async (name) => {
    const wide = await open(name);
    expect(await wide.locator('.card:visible h4').innerText()).toBe('underhill-boot-shim');
    const narrow = await open(name, 'light', 800);
    expect(await narrow.locator('.side:visible').count()).toBe(0);
    const region = narrow.locator('a.region:visible', { hasText: 'underhill-initrd' });
    await region.click();
    expect(await narrow.locator('.card:visible h4').innerText()).toBe('underhill-initrd');
    await narrow.keyboard.press('Escape');
    expect(await narrow.locator('.side:visible').count()).toBe(0);
    await region.click();
    await narrow.locator('.close:visible').click();
    expect(await narrow.locator('.side:visible').count()).toBe(0);
  });

  inBrowser([
    ['openhcl', 390],
    ['linux', 390],
    ['openhcl', 800],
    ['openhcl', 1280],
  ] as const)('of %s cuts no text off at %i pixels', async (name, width) => {
    const page = await open(name, 'light', width);
    const tabs = page.locator('.tabs a');
    for (let guest = 0; guest < Math.max(1, await tabs.count()); guest++) {
      if ((await tabs.count()) > 0) await tabs.nth(guest).click();
      expect(await page.evaluate(CUT_TEXTS)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    }
  });

  inBrowser([
    ['linux', 1],
    ['two', 2],
    ['openhcl', 3],
  ] as const)('of %s prints on at most two pages for each platform, and cuts nothing off', async (name, platforms) => {
    const page = await open(name, 'dark');
    for (const format of ['A4', 'Letter']) expect(await printedPages(page, format)).toBeLessThanOrEqual(2 * platforms);
    await page.emulateMedia({ media: 'print' });
    expect(await page.locator('.platform:visible').count()).toBe(platforms);
    expect(await page.locator('.side:visible, .copy:visible, .tabs:visible').count()).toBe(0);
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)');
    expect(await page.evaluate(CUT_TEXTS)).toEqual([]);
  });

  inBrowser(['linux'])(
    'of %s prints on two pages even with many regions, and says what it leaves out',
    async (name) => {
      copyFileSync(join(folder, `${name}.igvm`), join(folder, 'many.igvm'));
      const lines = Array.from({ length: 300 }, (_, index) => {
        const [start, end] = [index, index + 1].map((page) =>
          (0x100_0000 + page * 4096).toString(16).padStart(16, '0'),
        );
        return `  ${start} - ${end} (0x1000 bytes) region-${index}`;
      });
      const map = ['IGVM file isolation: SNP', 'IGVM file layout:', ...lines, 'IGVM file required memory:', ''];
      writeFileSync(join(folder, 'many.igvm.map'), map.join('\n'));
      await nxIgvm('inspect', 'many.igvm');
      const page = await open('many');
      expect(await page.locator('a.region').count()).toBeGreaterThan(300);
      expect(await printedPages(page, 'Letter')).toBe(2);
      await page.emulateMedia({ media: 'print' });
      expect(await page.locator('.guest .paper:visible').innerText()).toMatch(/first 56/);
    },
  );

  inBrowser([
    ['linux', 'light', 1280],
    ['linux', 'dark', 1280],
    ['openhcl', 'light', 1280],
    ['openhcl', 'light', 800],
    ['openhcl', 'dark', 390],
  ] as const)('of %s is accessible (%s, %i wide)', async (name, scheme, width) => {
    const page = await open(name, scheme, width);
    await page.locator('a.region:visible').nth(2).focus();
    // The page's policy forbids scripts, so axe is injected through the debugger.
    const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
    await page.evaluate(axe);
    const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>(
      'axe.run()',
    );
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  });
});

needingKernel('amd64', 'xz').describe('the page of an image with a real kernel', () => {
  const image = (name: string, arch: string, kernel: string, linux: object) => {
    const { vmlinuz, version } = debianKernel(arch === 'x64' ? 'amd64' : 'arm64');
    if (kernel === 'vmlinux') writeFileSync(join(folder, kernel), extractVmlinux(vmlinuz));
    const manifest = {
      guest_arch: arch,
      guest_configs: [guest('none', { linux: { use_initrd: false, command_line: 'console=ttyS0', ...linux } }, 0)],
      resources: { linux_kernel: kernel === 'vmlinux' ? kernel : vmlinuz },
    };
    writeFileSync(join(folder, `${name}.igvm.json`), JSON.stringify(manifest));
    return version;
  };

  it.each([
    ['bzImage', 'x64', 'vmlinuz', { boot_data: 'embedded', memory_size: 512 * 2 ** 20 }],
    ['ELF', 'x64', 'vmlinux', { boot_data: 'embedded', memory_size: 512 * 2 ** 20 }],
    ['Image', 'aarch64', 'vmlinuz', {}],
  ] as const)('names the version of a %s kernel for %s', async (kind, arch, kernel, linux) => {
    const version = image(kind, arch, kernel, linux);
    await nxIgvm('build', `${kind}.igvm.json`, '-o', `${kind}.igvm`);
    await nxIgvm('inspect', `${kind}.igvm`);
    const text = readFileSync(join(folder, `${kind}.html`), 'utf8');
    expect(/<dt>Kernel \(linux-kernel\)<\/dt><dd>(\S+) <span class="build">(.*?)<\/span>/.exec(text)?.slice(1)).toEqual(
      [version, expect.stringMatching(/#\d+ .*SMP/)],
    );
  });
});
