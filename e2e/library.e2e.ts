import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { makeInputs } from '../conformance/make-inputs';
import { readImage } from '../src/files/igvm-image';
import { measureFile } from '../src/measurement/measure';
import { readAll } from '../src/memory/byte-source';
import { findChromium, needingBrowser } from './harness/browser';
import { runOk } from './harness/run';
import { REPOSITORY, template } from './harness/template';

const executable = findChromium();

/** The JavaScript of a page of documentation, by the file name in its first line. */
function examplesOf(page: string): Map<string, string> {
  const text = readFileSync(join(REPOSITORY, page), 'utf8');
  const blocks = [...text.matchAll(/^```js\n(?:\/\/ (\S+)\n)?(.*?)^```$/gms)];
  return new Map(blocks.map(([, name = 'example.mjs', code = '']) => [name, code]));
}

const EXAMPLES = examplesOf('docs/library.md');

const openhcl = {
  openhcl: { command_line: '', memory_page_count: 16384, uefi: false, memory_page_base: 32768 },
};
const snp = { shared_gpa_boundary_bits: 46, policy: 196608, enable_debug: true, injection_type: 'normal' };

/** An image for two platforms, with every kind of page content: stored, empty, and shared between guests. */
const MANIFEST = {
  guest_arch: 'x64',
  guest_configs: [
    { guest_svn: 1, max_vtl: 2, isolation_type: { vbs: { enable_debug: true } }, image: openhcl },
    { guest_svn: 1, max_vtl: 2, isolation_type: { snp: { ...snp, secure_avic: 'disabled' } }, image: openhcl },
  ],
  resources: {
    underhill_kernel: 'vmlinux-x64.elf',
    openhcl_boot: 'openhcl_boot-x64.elf',
    underhill_initrd: 'initrd-small.bin',
  },
};

let folder: string;
let image: string;

/** Runs an example in the way of a user who has installed the package. */
async function runExample(name: string, code: string | undefined = EXAMPLES.get(name)): Promise<string> {
  if (code === undefined) throw new Error(`docs/library.md has no ${name}`);
  writeFileSync(join(folder, name), code);
  return runOk(process.execPath, [name], { cwd: folder });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-library-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(template().workspace, 'node_modules', 'nx-igvm'), join(folder, 'node_modules', 'nx-igvm'));
  makeInputs(folder, ['vmlinux-x64.elf', 'openhcl_boot-x64.elf', 'initrd-small.bin']);
  writeFileSync(join(folder, 'igvm.json'), JSON.stringify(MANIFEST));
  image = join(folder, 'my-image.igvm');
  await runExample('build.mjs');
  copyFileSync(join(folder, 'out', 'my-image.igvm'), image);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the examples of docs/library.md', () => {
  it('are all tested here', () => {
    expect([...EXAMPLES.keys()].sort()).toEqual([
      'build.mjs',
      'compare.mjs',
      'evidence.mjs',
      'label.cjs',
      'measure.mjs',
      'pack.mjs',
      'page.js',
    ]);
  });

  it('agree with the types of the library', async () => {
    for (const [name, code] of EXAMPLES) writeFileSync(join(folder, name), code);
    const compilerOptions = {
      allowJs: true,
      checkJs: true,
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      module: 'node16',
      target: 'ES2022',
      lib: ['ES2023', 'DOM'],
      types: ['node'],
      typeRoots: [join(REPOSITORY, 'node_modules', '@types')],
    };
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [...EXAMPLES.keys()] }));
    await runOk(join(REPOSITORY, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.json'], { cwd: folder });
  });

  it('build an image and list the files', async () => {
    expect(await runExample('build.mjs')).toContain('out/my-image.igvm');
    expect(existsSync(join(folder, 'out', 'my-image-snp.json'))).toBe(true);
  });

  it('read and measure an image', async () => {
    const output = await runExample('measure.mjs');
    const { arch, directives } = readImage(image);
    expect(output).toContain(`${arch}, ${directives.length} directives\n`);
    for (const { platform, digest } of await measureFile(image)) {
      expect(output).toContain(`${platform} ${Buffer.from(digest).toString('hex')}\n`);
    }
  });

  it('pack a kernel without a manifest, and report an invalid file', async () => {
    const output = await runExample('pack.mjs');
    expect(output).toBe('1 platform\nIGVM_MALFORMED vmlinux-x64.elf\n');
  });

  it('compare an image, lock and verify it', async () => {
    expect(await runExample('compare.mjs')).toMatch(/^the files are the same\n\n?matches its lock: /);
  });

  it('explain a digest, write reference values, and verify a report', async () => {
    const samples = join(REPOSITORY, 'fuzz', 'samples');
    const extended = readFileSync(join(samples, 'snp-extended-report.bin'));
    writeFileSync(join(folder, 'report.bin'), extended.subarray(0, 0x4a0));
    copyFileSync(join(samples, 'snp-root.der'), join(folder, 'vcek.der'));
    const output = await runExample('evidence.mjs');
    expect(output).toContain('VBS');
    expect(output).toContain('trustee.json, corim.cbor, go-sev-guest-1.textproto, provenance.json\n');
    expect(output).toContain('not genuine: no processor vouches for it');
  });

  it('change an image and write it, in CommonJS', async () => {
    await runExample('label.cjs');
    const labelled = readImage(join(folder, 'labelled.igvm'));
    expect(labelled.initializations.at(-1)).toEqual({ type: 'versionString', value: '1.2.3' });
    expect(labelled.directives).toHaveLength(readImage(image).directives.length);
  });
});

it('use a separate entry point, to which the plugin’s own entry point refers', async () => {
  const code =
    "import { readIgvm } from 'nx-igvm';\ntry { readIgvm('my-image.igvm'); } catch (error) { console.log(error.message); }";
  expect(await runExample('wrong-entry.mjs', code)).toContain('the library is nx-igvm/api, which has readIgvm');
});

it('the example of the README measures an image', async () => {
  const output = await runExample('readme.mjs', examplesOf('README.md').get('example.mjs'));
  const digests = (await measureFile(image)).map(({ digest }) => Buffer.from(digest).toString('hex'));
  expect(digests).toHaveLength(2);
  for (const digest of digests) expect(output).toContain(digest);
});

describe('nx-igvm/igvm in a browser', () => {
  /** The example for browsers, bundled in the way of a user. Fails on any warning of the bundler. */
  async function bundledPage(): Promise<string> {
    writeFileSync(join(folder, 'page.js'), EXAMPLES.get('page.js') ?? '');
    const rolldown = join(REPOSITORY, 'node_modules', '.bin', 'rolldown');
    const options = ['--platform', 'browser', '--format', 'esm', '--file', 'bundle.js'];
    expect(await runOk(rolldown, ['page.js', ...options], { cwd: folder })).not.toMatch(/warn|unresolved|external/i);
    return readFileSync(join(folder, 'bundle.js'), 'utf8');
  }

  it('is bundled without Node modules', async () => {
    const code = await bundledPage();
    expect(code).not.toMatch(/^import\b|\brequire\(|\bnode:|\bBuffer\b|\bprocess\.|\b__dirname\b/m);
  });

  it('is bundled without code that the page does not use', async () => {
    const code = await bundledPage();
    expect(code).toContain('function readIgvm(');
    for (const unused of ['writeIgvm', 'mergeGuests', 'PageIndex']) expect(code).not.toContain(unused);
  });

  const { it: inBrowser } = needingBrowser();

  inBrowser('reads an image with the same result as Node: headers, and the data to which they refer', async () => {
    const code = await bundledPage();
    const server = await serve({
      '/': ['text/html', '<!doctype html><title>page</title><body><script type="module" src="page.js"></script>'],
      '/page.js': ['text/javascript', `${code}\ndocument.title = 'done';`],
      '/my-image.igvm': ['application/octet-stream', readFileSync(image)],
    });
    let browser: Browser | undefined;
    try {
      // As root, which containers of CI are, Chromium has no sandbox. The page is ours.
      const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
      browser = await chromium.launch({ executablePath: executable, args });
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await page.waitForFunction("document.title === 'done'").catch(() => undefined);
      expect(complaints).toEqual([]);
      expect(await page.locator('p').allTextContents()).toEqual(linesOf(image));
    } finally {
      await browser?.close();
      server.close();
    }
  });
});

/** The output of the example for browsers for an image, computed in Node. */
function linesOf(path: string): string[] {
  return readImage(path).directives.map((directive) => {
    if (directive.type !== 'pageData') return directive.type;
    const { type, gpa, pageCount, content } = directive;
    const digest = createHash('sha256').update(readAll(content, content.size)).digest('hex');
    return `${type} at 0x${gpa.toString(16)}, ${pageCount} pages, SHA-256 ${digest}`;
  });
}

/** A server on loopback, from which a page may use the browser's hashes. */
async function serve(files: Record<string, readonly [type: string, content: string | Buffer]>): Promise<Server> {
  const server = createServer((request, response) => {
    const [type, content] = files[request.url ?? ''] ?? ['text/plain', ''];
    response.writeHead(200, { 'content-type': type }).end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
