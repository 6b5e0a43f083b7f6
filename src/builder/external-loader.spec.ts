import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { readImage, writeImage } from '../files/igvm-image';
import { fileOf } from '../igvm/igvm-file.fixture';
import { bytesSource } from '../memory/byte-source';
import { buildManifest } from './build-manifest';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nx-igvm-external-'));
  const guest = { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { uefi: { config_type: 'none' } } };
  writeFileSync(join(folder, 'firmware.fd'), 'firmware');
  writeFileSync(
    join(folder, 'igvm.json'),
    JSON.stringify({ guest_arch: 'x64', guest_configs: [guest], resources: { uefi: 'firmware.fd' } }),
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program that stands in for igvmfilegen; `body` sees `args` by name. */
function program(body: string): string {
  const path = join(folder, 'loader');
  writeFileSync(
    path,
    `#!${process.execPath}
const fs = require('node:fs');
const words = process.argv.slice(3);
const args = { resources: '', output: '', manifest: '', flags: [] };
while (words.length > 0) {
  const word = words.shift();
  if (['--manifest', '--resources', '--output'].includes(word)) args[word.slice(2)] = words.shift();
  else args.flags.push(word);
}
${body}
`,
  );
  chmodSync(path, 0o755);
  return path;
}

const build = (loader: string, more: object = {}) =>
  buildManifest({ manifest: join(folder, 'igvm.json'), output: join(folder, 'out', 'a.igvm'), loader, ...more });

async function failureOf(promise: Promise<unknown>): Promise<IgvmError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const describeOnPosix = process.platform === 'win32' ? describe.skip : describe;

describeOnPosix('a build by an external loader', () => {
  it('uses the files that the program wrote, and passes its messages on', async () => {
    const loader = program(`
      fs.writeFileSync(args.output, fs.readFileSync(JSON.parse(fs.readFileSync(args.resources)).resources.uefi));
      fs.writeFileSync(args.output + '.map', args.flags.join(' '));
      fs.writeFileSync(args.output.replace(/[.]igvm$/, '-vbs.json'), fs.readFileSync(args.manifest));
      console.error('hello');`);
    let messages = '';
    const report = await build(loader, { message: (text: string) => void (messages += text), confidentialDebug: true });
    expect(messages).toBe('hello\n');
    expect(report.files.map(({ kind, path }) => [kind, path.slice(folder.length)])).toEqual([
      ['image', '/out/a.igvm'],
      ['identity', '/out/a-vbs.json'],
      ['map', '/out/a.igvm.map'],
    ]);
    expect(readFileSync(join(folder, 'out/a.igvm'), 'utf8')).toBe('firmware');
    expect(readFileSync(join(folder, 'out/a.igvm.map'), 'utf8')).toBe('--confidential-debug');
    expect(readFileSync(join(folder, 'out/a-vbs.json'))).toEqual(readFileSync(join(folder, 'igvm.json')));
  });

  it('leaves the CoRIM out of the image if the manifest or an option says so', async () => {
    const given = join(folder, 'given.igvm');
    const header = { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(Uint8Array.of(1, 2)) } as const;
    const file = fileOf([], { initializations: [header] });
    await writeImage(file, given);
    const loader = program(`fs.copyFileSync(${JSON.stringify(given)}, args.output);`);
    const types = () => readImage(join(folder, 'out/a.igvm')).initializations.map(({ type }) => type);
    await build(loader);
    expect(types()).toEqual(['corimDocument']);
    await build(loader, { embedCorim: false });
    expect(types()).toEqual([]);
    const manifest = join(folder, 'igvm.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('{', '{"embed_corim":false,'));
    const { files } = await build(loader);
    expect(types()).toEqual([]);
    expect(files).toEqual([
      { kind: 'image', path: join(folder, 'out/a.igvm'), size: statSync(join(folder, 'out/a.igvm')).size },
    ]);

    const error = await failureOf(build(program("fs.writeFileSync(args.output, 'image');")));
    expect(error).toMatchObject({ code: 'EXTERNAL_LOADER_FAILED', where: { file: loader } });
    expect(error.message).toContain("from which the CoRIM can't be removed");
  });

  it('accepts an image with the name of the resources file', async () => {
    const loader = program("fs.writeFileSync(args.output, 'image'); fs.writeFileSync(args.output + '.log', 'log');");
    const { files } = await build(loader, { output: join(folder, 'out', 'resources.json') });
    expect(files.map(({ kind, path }) => [kind, basename(path)])).toEqual([
      ['image', 'resources.json'],
      ['other', 'resources.json.log'],
    ]);
    expect(readFileSync(join(folder, 'out', 'resources.json'), 'utf8')).toBe('image');
  });

  it.each([
    ['fails', 'fs.writeFileSync(args.output, "half"); process.exit(3);', /exit code 3/],
    ['is killed', 'process.kill(process.pid, "SIGKILL"); setTimeout(() => {}, 10000);', /SIGKILL/],
    ['writes nothing', '', /without writing an image/],
    ['makes a folder', 'fs.writeFileSync(args.output, "image"); fs.mkdirSync(args.output + ".d")', /"a\.igvm\.d"/],
  ])('leaves nothing behind when the program %s', async (_what, body, message) => {
    const error = await failureOf(build(program(body)));
    expect(error.code).toBe('EXTERNAL_LOADER_FAILED');
    expect(error.message).toMatch(message);
    expect(readdirSync(folder).sort()).toEqual(['firmware.fd', 'igvm.json', 'loader']);
  });

  it('passes every option on', async () => {
    const loader = program('fs.writeFileSync(args.output, args.flags.join(" "));');
    await build(loader, { debugValidation: true, disableSecureAvic: true });
    expect(readFileSync(join(folder, 'out/a.igvm'), 'utf8')).toBe('--debug-validation --disable-secure-avic');
  });

  it.each([
    ['ends', ''],
    ['does not want to end', "process.on('SIGTERM', () => fs.writeFileSync(args.output, 'late')); "],
  ])(
    'ends with this process, and leaves nothing behind, when the program %s',
    async (_, stubborn) => {
      const pids = join(folder, 'pid');
      const loader =
        program(`${stubborn}setInterval(() => {}, 1000); fs.writeFileSync(${JSON.stringify(pids)}, ''+process.pid);
      console.log('ready');`);
      const killed: unknown[] = [];
      const kill = jest.spyOn(process, 'kill').mockImplementation((...args) => {
        killed.push(args);
        return true;
      });
      const building = build(loader, { message: () => process.emit('SIGTERM', 'SIGTERM') });
      expect((await failureOf(building)).message).toBe('the loader was stopped by SIGTERM');
      kill.mockRestore();
      expect(killed).toContainEqual([process.pid, 'SIGTERM']);
      expect(() => process.kill(Number(readFileSync(pids, 'utf8')), 0)).toThrow('ESRCH');
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`nx-igvm-loader-${process.pid}-`))).toEqual([]);
      expect(readdirSync(folder)).not.toContain('out');
    },
    30_000,
  );

  it('builds only from pinned files, even if one is replaced while the program runs', async () => {
    const sha256 = createHash('sha256').update('firmware').digest('hex');
    const text = readFileSync(join(folder, 'igvm.json'), 'utf8');
    writeFileSync(
      join(folder, 'igvm.json'),
      text.replace('"firmware.fd"', JSON.stringify({ path: 'firmware.fd', sha256 })),
    );
    const write = "fs.writeFileSync(args.output, 'image');";
    await build(program(write));
    const swap = `${write} fs.writeFileSync(${JSON.stringify(join(folder, 'firmware.fd'))}, 'another!');`;
    expect((await failureOf(build(program(swap)))).code).toBe('RESOURCE_DIGEST');
    expect((await failureOf(build(program('fs.writeFileSync("never", "");')))).code).toBe('RESOURCE_DIGEST');
  });

  it('reports a missing program', async () => {
    const error = await failureOf(build(join(folder, 'missing')));
    expect(error.code).toBe('EXTERNAL_LOADER_FAILED');
    expect(error.where.file).toBe(join(folder, 'missing'));
  });
});
