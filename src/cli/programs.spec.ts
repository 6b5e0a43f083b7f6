import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { bytes, bzImageFile } from '../loader/formats/kernel.fixture';
import type { CliEnvironment } from './cli';
import { IGVMFILEGEN, NX_IGVM, packageVersion, type ProgramDescription, run } from './programs';

async function runWith(program: ProgramDescription, args: string[], cwd = '/') {
  const output = { code: 0, stdout: '', stderr: '' };
  const environment: CliEnvironment = {
    cwd,
    stdout: (text) => void (output.stdout += text),
    stderr: (text) => void (output.stderr += text),
    isInteractive: false,
  };
  output.code = await run(program, args, environment);
  return output;
}

const failing = (error: unknown): ProgramDescription => ({
  name: 'test',
  description: 'fails',
  commands: {
    go: () => (program) =>
      void program.command('go').action(() => {
        throw error;
      }),
  },
});

describe('the command line', () => {
  it('prints its version', async () => {
    expect(await runWith(NX_IGVM, ['--version'])).toEqual({
      code: 0,
      stdout: `nx-igvm ${packageVersion()}\n`,
      stderr: '',
    });
  });

  it('prints its help to stdout', async () => {
    const { code, stdout } = await runWith(NX_IGVM, ['build', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('--confidential-debug');
  });

  it.each([[NX_IGVM], [IGVMFILEGEN]])('lists its commands under the names that load them', async (program) => {
    const { stdout } = await runWith(program, ['--help']);
    const listed = [...stdout.matchAll(/^ {2}([a-z][\w-]*) /gm)].map(([, name]) => name);
    expect(listed.filter((name) => name !== 'help')).toEqual(Object.keys(program.commands));
  });

  it.each([[['build']], [['build', 'a', '--bogus']], [['buidl']], [['build', 'a', 'b']]])(
    'returns 2 for an invalid command line: %j',
    async (args) => {
      const { code, stdout, stderr } = await runWith(NX_IGVM, args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^error: /);
    },
  );

  it.each([
    [['-oa=b', 'x']],
    [['-o=a=b', 'x']],
    [['-o', 'a=b', 'x']],
    [['--output=a=b', 'x']],
    [['-o=a=b', '--', 'x']],
  ])('accepts the value of an option in every form that clap accepts: %j', async (args) => {
    let output: unknown;
    const program: ProgramDescription = {
      name: 'test',
      description: 'has an option',
      commands: {
        go: () => (command) =>
          void command
            .command('go')
            .argument('<name>')
            .option('-o, --output <path>')
            .action((name, options) => {
              output = [name, options];
            }),
      },
    };
    expect(await runWith(program, ['go', ...args])).toMatchObject({ code: 0 });
    expect(output).toEqual(['x', { output: 'a=b' }]);
  });

  it("shows a user's mistake as one sentence with place, code and cure", async () => {
    const { code, stderr } = await runWith(
      failing(new IgvmError('LAYOUT_OVERLAP', 'a overlaps b', { gpa: { start: 4096, end: 8192 } })),
      ['go', '--verbose'],
    );
    expect(code).toBe(1);
    expect(stderr).toBe(
      'error: a overlaps b (GPA 0x1000-0x2000) [LAYOUT_OVERLAP]\n  Move or shrink one of the parts named in the message.\n',
    );
  });

  it('names files relative to the current folder', async () => {
    const inside = await runWith(
      failing(new IgvmError('IGVM_MALFORMED', 'is odd', { file: '/srv/a/b.igvm' })),
      ['go'],
      '/srv',
    );
    expect(inside.stderr).toMatch(/^error: a\/b\.igvm: is odd/);
    const outside = await runWith(
      failing(new IgvmError('IGVM_MALFORMED', 'is odd', { file: '/other/b.igvm' })),
      ['go'],
      '/srv',
    );
    expect(outside.stderr).toMatch(/^error: \/other\/b\.igvm: is odd/);
  });

  it('shows the stack trace of a bug only with --verbose, before or after the command', async () => {
    const program = failing(new Error('oops'));
    expect((await runWith(program, ['go'])).stderr).toMatch(/^internal error: oops\n {2}This should not happen/);
    expect((await runWith(program, ['go', '--verbose'])).stderr).toMatch(/oops\n\s+at /);
    expect((await runWith(program, ['--verbose', 'go'])).stderr).toMatch(/oops\n\s+at /);
  });
});

describe('nx-igvm build', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('reports size, pages and files, relative to the current folder', async () => {
    const guest = { guest_svn: 1, max_vtl: 2, isolation_type: { vbs: { enable_debug: true } }, image: 'none' };
    writeFileSync(
      join(folder, 'empty.igvm.json'),
      JSON.stringify({ guest_arch: 'x64', guest_configs: [guest], note: 1 }),
    );
    const { code, stdout, stderr } = await runWith(NX_IGVM, ['build', 'empty.igvm.json'], folder);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: empty\.igvm\.json:1:\d+: .*note/);
    expect(stdout.replaceAll(/[0-9A-F]{64}/g, 'DIGEST')).toMatch(
      /^empty\.igvm: \d+ bytes\n {2}pages: 0, .*\n {2}deduplicated: 0 bytes\n {2}vbs launch digest: DIGEST\n {2}files:\n {4}empty\.igvm \(\d+ bytes\)\n {4}empty\.igvm\.map .*\n {4}empty-vbs\.cbor .*\n {4}empty-vbs\.json .*\n$/,
    );
    expect((await runWith(NX_IGVM, ['build', 'empty.igvm.json', '--strict'], folder)).code).toBe(1);
  });

  it.each([
    [{}, [], true],
    [{ embed_corim: true }, ['--no-embed-corim'], false],
    [{ embed_corim: false }, [], false],
    [{ embed_corim: false }, ['--embed-corim'], true],
  ])('puts the CoRIM into the image or not: manifest with %j, options %j', async (keys, options, isInside) => {
    const guest = { guest_svn: 1, max_vtl: 2, isolation_type: { vbs: { enable_debug: true } }, image: 'none' };
    writeFileSync(
      join(folder, 'corim.igvm.json'),
      JSON.stringify({ guest_arch: 'x64', guest_configs: [guest], ...keys }),
    );
    const { code, stderr } = await runWith(NX_IGVM, ['build', 'corim.igvm.json', ...options], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const document = readFileSync(join(folder, 'corim-vbs.cbor'));
    expect(readFileSync(join(folder, 'corim.igvm')).includes(document)).toBe(isInside);
  });

  it('refuses to overwrite the files that it reads', async () => {
    const guest = { guest_svn: 1, max_vtl: 2, isolation_type: { vbs: { enable_debug: true } }, image: 'none' };
    const manifest = JSON.stringify({ guest_arch: 'x64', guest_configs: [guest] });
    writeFileSync(join(folder, 'image-vbs.json'), manifest);
    const { code, stderr } = await runWith(NX_IGVM, ['build', 'image-vbs.json', '-o', 'image.igvm'], folder);
    expect(code).toBe(1);
    expect(stderr).toContain('[FILE_UNWRITABLE]');
  });
});

describe('nx-igvm pack', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, content: Uint8Array | string) => writeFileSync(join(folder, name), content);
  const image = (name: string) => readFileSync(join(folder, name));

  it('makes the same image as a manifest with the same values', async () => {
    write('vmlinuz', bzImageFile(bytes(8192, 1)));
    write('initrd.cpio', bytes(5000, 2));
    const linux = { use_initrd: true, command_line: 'quiet', boot_data: 'embedded', memory_size: 2 ** 28 };
    const guest = { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { linux } };
    const resources = { linux_kernel: 'vmlinuz', linux_initrd: 'initrd.cpio' };
    write('igvm.json', JSON.stringify({ guest_arch: 'x64', guest_configs: [guest], resources }));
    expect(await runWith(NX_IGVM, ['build', 'igvm.json', '-o', 'built.igvm'], folder)).toMatchObject({ code: 0 });

    const args = ['pack', 'vmlinuz', '-i', 'initrd.cpio', '-c', 'quiet', '-m', '256M', '-o', 'packed.igvm'];
    expect(await runWith(NX_IGVM, args, folder)).toMatchObject({ code: 0, stderr: '' });
    expect(image('packed.igvm').equals(image('built.igvm'))).toBe(true);
  });

  it('needs only a kernel', async () => {
    const { code, stdout } = await runWith(NX_IGVM, ['pack', 'vmlinuz'], folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^guest\.igvm: [\d,]+ bytes\n/);
  });

  it.each([
    [['-m', 'much'], 2, '--memory is "much"'],
    [['--cpus', 'x'], 2, '--cpus is "x"'],
    [['-m', '4G'], 2, 'up to 2G'],
    [['-m', '5000'], 2, '--memory is "5000"'],
    [['-m', '4096'], 1, 'memory_size is 4096'],
    [['--cpus', '255'], 2, '--cpus is "255", not a number of processors from 1 to 254'],
    [['-i', 'missing'], 1, 'missing'],
    [['-c', 'x'.repeat(3000)], 1, 'command_line has 3000 bytes'],
  ])('refuses %j without mentioning a manifest, which the user has not written', async (args, exitCode, message) => {
    const { code, stdout, stderr } = await runWith(NX_IGVM, ['pack', 'vmlinuz', '-o', 'not.igvm', ...args], folder);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/igvm\.json|guest_configs|:\d+:\d+|docs\/manifest/);
    expect(existsSync(join(folder, 'not.igvm'))).toBe(false);
  });
});
