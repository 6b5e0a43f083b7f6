import type { ManifestBuild } from '../builder/build-manifest';
import { commandLine } from './caller';
import { buildWithProgress } from './commands/build';

const mockBar = { start: jest.fn(), update: jest.fn(), setTotal: jest.fn(), stop: jest.fn() };
jest.mock('cli-progress', () => ({ Presets: {}, SingleBar: jest.fn(() => mockBar) }));

let mockBuild: (build: ManifestBuild) => void;
jest.mock('../builder/build-manifest', () => ({
  buildManifest: (build: ManifestBuild) => Promise.resolve(build).then((each) => mockBuild(each)),
}));

describe('the progress of a build', () => {
  let stderr = '';
  beforeEach(() => {
    jest.clearAllMocks();
    stderr = '';
  });

  const build = (isInteractive: boolean) =>
    buildWithProgress(
      { manifest: 'igvm.json', output: 'a.igvm' },
      commandLine({ cwd: '/', stdout: () => undefined, stderr: (text) => void (stderr += text), isInteractive }),
    );

  it('is shown for a large image on a terminal', async () => {
    mockBuild = ({ progress }) => [1, 20_000].forEach((done) => progress?.(done, 20_000));
    await build(true);
    expect(mockBar.start.mock.calls).toEqual([[20_000, 1]]);
    expect(mockBar.update.mock.calls).toEqual([[1], [20_000]]);
    expect(mockBar.stop).toHaveBeenCalledTimes(1);
  });

  it('is not shown for a small image, or without a terminal', async () => {
    mockBuild = ({ progress }) => progress?.(1, 1000);
    await build(true);
    mockBuild = ({ progress }) => expect(progress).toBeUndefined();
    await build(false);
    expect(mockBar.start).not.toHaveBeenCalled();
  });

  it('is a bar for a large download on a terminal, and one line in a log', async () => {
    const mebibyte = 2 ** 20;
    const url = 'https://host/vmlinuz';
    mockBuild = ({ downloads }) =>
      [0, 5, 9].forEach((done) => downloads?.progress?.(url, done * mebibyte, 9 * mebibyte));
    await build(true);
    expect(mockBar.start.mock.calls).toEqual([[9, 0]]);
    expect(mockBar.update.mock.calls).toEqual([[0], [5], [9]]);
    expect(mockBar.stop).toHaveBeenCalledTimes(1);
    await build(false);
    expect(stderr).toBe(`downloading https://host/vmlinuz (${9 * mebibyte} bytes)\n`);
  });

  it('disappears when the build fails, after the warnings', async () => {
    mockBuild = ({ progress, warn }) => {
      warn?.({ message: 'doubtful', where: { file: 'igvm.json' } });
      progress?.(1, 20_000);
      throw new Error('broken');
    };
    await expect(build(true)).rejects.toThrow('broken');
    expect(mockBar.stop).toHaveBeenCalledTimes(1);
    expect(stderr).toBe('warning: igvm.json: doubtful\n');
  });
});
