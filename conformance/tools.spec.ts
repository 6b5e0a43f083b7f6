import { hash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IGVMFILEGEN, NX_IGVM } from '../src/cli/programs';
import { placeTool, runProgram } from './cases';
import { makeInputs } from './make-inputs';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-tools-'));
const inputs = join(folder, 'inputs');

beforeAll(() => makeInputs(inputs));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const BUILD = ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm'];

/** An image of igvmfilegen, the arguments of the tool, and the resulting image. */
const TOOLS = [
  {
    tool: 'add-snp-id-block',
    what: 'a signed ID block',
    image: 'eda511efdd7fe321df9e17b6a055678186dd26c8117735a906fbff5f281c335b',
    args: ['--id-block', 'out-snp.idblock', '--id-signature', 'sig.der', '--id-public-key', 'pub.pem'],
    signed: 'bf9a51dcb7d83df187892bc6ef9ac85831cf2954cb87decc9c40dde3f76da365',
  },
  {
    tool: 'patch-corim-signature',
    what: 'a detached signature',
    image: '8ac1471f1b2ae40855df6f60f5d56c026e0c283adb52bbea87f2326e48d93c09',
    args: ['--corim-signature', 'detached.cose', '--platform', 'snp'],
    signed: '72267651ded520a99188d1fd638c0655e4b2862742cf09afbe687556a3d8b2fe',
  },
  {
    tool: 'patch-corim-signature',
    what: 'a signature with its document',
    image: '8ac1471f1b2ae40855df6f60f5d56c026e0c283adb52bbea87f2326e48d93c09',
    args: ['--corim-bundle', 'bundle.cose', '--platform', 'snp'],
    signed: '72267651ded520a99188d1fd638c0655e4b2862742cf09afbe687556a3d8b2fe',
  },
];

describe.each(TOOLS)('$tool with $what', ({ tool, image, args, signed }) => {
  it.each([IGVMFILEGEN, NX_IGVM])('writes the reference image, run as $name', async (program) => {
    const cwd = mkdtempSync(join(folder, 'case-'));
    placeTool(tool, cwd, inputs);
    const digest = (name: string): string => hash('sha256', readFileSync(join(cwd, name)));

    expect(await runProgram(IGVMFILEGEN, BUILD, cwd)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(digest('out.igvm')).toBe(image);
    // The reference accepts the short keys of these cases; nx-igvm accepts them only with an option.
    const isOurs = program === NX_IGVM && tool === 'patch-corim-signature';
    const flags = [...args, ...(isOurs ? ['--allow-rsa-2048'] : [])];
    const signing = await runProgram(program, [tool, '-i', 'out.igvm', '-o', 'signed.igvm', ...flags], cwd);
    expect(signing).toMatchObject({ exitCode: 0, stderr: '' });
    expect(digest('signed.igvm')).toBe(signed);
    expect(digest('out.igvm')).toBe(image);
  });
});
