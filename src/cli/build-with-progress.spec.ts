import type { ManifestBuild } from '../builder/build-manifest';
import { buildWithProgress } from './commands/build';

const mockBar = { start: jest.fn(), update: jest.fn(), stop: jest.fn() };
jest.mock('cli-progress', () => ({ Presets: {}, SingleBar: jest.fn(() => mockBar) }));

let mockBuild: (build: ManifestBuild) => void;
jest.mock('../builder/build-manifest', () => ({
  buildManifest: (build: ManifestBuild) => Promise.resolve(build).then((each) => mockBuild(each)),
}));

describe('a build that a person watches', () => {
  beforeEach(() => jest.clearAllMocks());

  let stderr = '';
  const build = (isInteractive: boolean) =>
    buildWithProgress(
      { cwd: '/', stdout: () => undefined, stderr: (text) => void (stderr += text), isInteractive },
      { manifest: 'igvm.json', output: 'a.igvm' },
    );

  it('shows how far a large image is', async () => {
    mockBuild = ({ progress }) => [1, 20_000].forEach((done) => progress?.(done, 20_000));
    await build(true);
    expect(mockBar.start.mock.calls).toEqual([[20_000, 1]]);
    expect(mockBar.update.mock.calls).toEqual([[1], [20_000]]);
    expect(mockBar.stop).toHaveBeenCalledTimes(1);
  });

  it('shows nothing of a small one, or where nobody watches', async () => {
    mockBuild = ({ progress }) => progress?.(1, 1000);
    await build(true);
    mockBuild = ({ progress }) => expect(progress).toBeUndefined();
    await build(false);
    expect(mockBar.start).not.toHaveBeenCalled();
  });

  it('has no bar left when it fails, and its warnings before', async () => {
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
