import type { Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { guestImageGenerator, type GuestImageGeneratorSchema } from './generator';

let tree: Tree;
beforeEach(() => {
  tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
});

describe('guest-image, the README', () => {
  const readme = async (options: Partial<GuestImageGeneratorSchema>): Promise<string> => {
    await guestImageGenerator(tree, { name: 'my-image', ...options });
    return tree.read('my-image/README.md', 'utf8') ?? '';
  };

  it('asks for the kernel that the build takes', async () => {
    expect(await readme({ type: 'linux-paravisor' })).toContain('an uncompressed vmlinux, not a bzImage');
  });

  it('names what there is for the architecture', async () => {
    const text = await readme({ arch: 'aarch64' });
    expect(text).toContain('linux-image-arm64');
    expect(text).not.toMatch(/amd64|bzImage|x64/);
  });

  it('goes on to measure, lock, verify and sign an isolated image, and only that', async () => {
    const text = await readme({ type: 'snp-linux-direct' });
    for (const command of ['measure my-image --updateLock', 'verify my-image', 'sign my-image']) {
      expect(text).toContain(`nx ${command}`);
    }
    await guestImageGenerator(tree, { name: 'plain' });
    expect(tree.read('plain/README.md', 'utf8')).not.toMatch(/nx (?:measure|verify|sign)/);
  });
});
