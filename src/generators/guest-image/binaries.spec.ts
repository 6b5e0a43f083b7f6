import type { Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { guestImageGenerator, type GuestImageGeneratorSchema } from './generator';

let tree: Tree;
beforeEach(() => {
  tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
});

describe('the README of guest-image', () => {
  const readme = async (options: Partial<GuestImageGeneratorSchema>): Promise<string> => {
    await guestImageGenerator(tree, { name: 'my-image', ...options });
    return tree.read('my-image/README.md', 'utf8') ?? '';
  };

  it('asks for a kernel in the format that the build accepts', async () => {
    expect(await readme({ type: 'linux-paravisor' })).toContain('an uncompressed vmlinux, not a bzImage');
  });

  it('names kernels for the architecture', async () => {
    const text = await readme({ arch: 'aarch64' });
    expect(text).toContain('linux-image-arm64');
    expect(text).not.toMatch(/amd64|bzImage|x64/);
  });

  it('explains measure, verify and sign for isolated images only', async () => {
    const text = await readme({ type: 'snp-linux-direct' });
    for (const command of ['measure my-image --updateLock', 'verify my-image', 'sign my-image']) {
      expect(text).toContain(`nx ${command}`);
    }
    await guestImageGenerator(tree, { name: 'plain' });
    expect(tree.read('plain/README.md', 'utf8')).not.toMatch(/nx (?:measure|verify|sign)/);
  });
});
