import { readJson, readNxJson, updateJson } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { logger } from '../../plugin/workspace-nx';
import { presetGenerator } from './generator';

describe('preset', () => {
  it('creates an image whose initrd is another project', async () => {
    const tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    await presetGenerator(tree, { name: 'my-images', kernel: '/boot/vmlinuz' });
    expect(readNxJson(tree)?.plugins).toEqual(['nx-igvm']);
    expect(readJson(tree, 'guest-image/igvm.json').resources).toEqual({
      linux_kernel: '/boot/vmlinuz',
      linux_initrd: { project: 'initrd', target: 'build', path: 'dist/initrd/initrd.cpio' },
    });
    expect(readJson(tree, 'initrd/initrd.json').init).toBe('x64');
  });

  it('leaves no empty folders, and suggests building the image as the next step', async () => {
    const info = jest.spyOn(logger, 'info').mockImplementation();
    const tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    // Nothing to install.
    updateJson(tree, 'package.json', (json) => ({ ...json, devDependencies: { 'nx-igvm': '*' } }));
    tree.write('apps/.gitkeep', '');
    tree.write('libs/.gitkeep', '');
    tree.write('libs/mine/index.ts', '');
    const done = await presetGenerator(tree, { name: 'my-images', kernel: '/boot/vmlinuz' });
    expect(tree.exists('apps')).toBe(false);
    expect(tree.exists('libs/.gitkeep')).toBe(true);
    await done();
    const said = info.mock.calls.map(([text]) => String(text));
    expect(said).toEqual([expect.stringContaining('Next: nx build guest-image')]);
    info.mockRestore();
  });

  it('uses the folder for packages of a workspace', async () => {
    const tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces: ['packages/*'] }));
    await presetGenerator(tree, { name: 'my-images' });
    expect(readJson(tree, 'packages/guest-image/igvm.json').resources.linux_initrd.path).toBe(
      'dist/packages/initrd/initrd.cpio',
    );
    expect(readJson(tree, 'packages/initrd/package.json').name).toBe('initrd');
  });
});
