import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readNxJson, type Tree, updateNxJson } from '@nx/devkit';
import { logger } from '../../plugin/workspace-nx';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { parse } from 'yaml';
import { ciWorkflowGenerator } from './generator';

describe('ci-workflow', () => {
  let tree: Tree;
  beforeEach(() => {
    tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  });

  it('builds and verifies images on GitHub that are affected since the main branch in nx.json', async () => {
    updateNxJson(tree, { ...readNxJson(tree), defaultBase: 'trunk' });
    await ciWorkflowGenerator(tree, {});
    const workflow = tree.read('.github/workflows/images.yml', 'utf8');
    expect(workflow).toContain("branches: ['trunk']");
    expect(workflow).toMatch(/- run: (npx|pnpm exec|yarn) nx affected -t build verify boot-test\n/);
    expect(workflow).toMatch(
      / nx-igvm diff --revisions "\$NX_BASE\.\.\$NX_HEAD" --format markdown >> "\$GITHUB_STEP_SUMMARY"\n/,
    );
    expect(workflow).not.toContain('<%');
  });

  it.each(['npm', 'pnpm', 'bun'])('pins all actions and passes on no token, with %s on GitHub', async (manager) => {
    const root = mkdtempSync(join(tmpdir(), 'igvm-workflow-'));
    const lockfiles: Record<string, string> = { npm: 'package-lock.json', pnpm: 'pnpm-lock.yaml', bun: 'bun.lock' };
    writeFileSync(join(root, lockfiles[manager]!), '');
    Object.assign(tree, { root });
    await ciWorkflowGenerator(tree, {});
    rmSync(root, { recursive: true });
    const { jobs, permissions } = parse(tree.read('.github/workflows/images.yml', 'utf8')!) as {
      permissions: object;
      jobs: { images: { steps: { uses?: string; if?: string; with?: Record<string, unknown> }[] } };
    };
    const { steps } = jobs.images;
    const used = steps.flatMap(({ uses }) => (uses === undefined ? [] : [uses]));
    expect(used).toHaveLength(manager === 'npm' ? 4 : 5);
    for (const uses of used) expect(uses).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    expect(Object.values(permissions).every((permission) => permission === 'read')).toBe(true);
    expect(steps[0]).toMatchObject({
      uses: expect.stringContaining('checkout'),
      with: { 'persist-credentials': false },
    });
    const uploads = steps.filter(({ uses }) => uses?.includes('upload') === true);
    expect(uploads).toEqual([expect.objectContaining({ if: "github.event_name == 'push'" })]);
  });

  it('warns about images with resources outside the workspace', async () => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation();
    const manifest = (resources: unknown) => JSON.stringify({ resources });
    tree.write('a/project.json', '{ "name": "a" }');
    tree.write('a/broken.igvm.json', '{');
    tree.write('a/list.igvm.json', manifest(null));
    tree.write(
      'a/igvm.json',
      manifest({ linux_kernel: 'boot/vmlinuz', linux_initrd: { project: 'i', target: 'build', path: 'dist/i' } }),
    );
    await ciWorkflowGenerator(tree, { name: 'without' });
    expect(warn).not.toHaveBeenCalled();
    tree.write(
      'a/x.igvm.json',
      manifest({ linux_kernel: '/boot/vmlinuz', linux_initrd: { path: 'C:\\initrd', sha256: '0' } }),
    );
    await ciWorkflowGenerator(tree, {});
    expect(warn.mock.calls).toEqual([
      [
        expect.stringMatching(
          /don't have \/boot\/vmlinuz \(a\/x\.igvm\.json\), C:\\initrd \(a\/x\.igvm\.json\)\. https:.*binaries\.md#in-ci/,
        ),
      ],
    ]);
    warn.mockRestore();
  });

  it('keeps only images of the main branch on GitLab', async () => {
    const info = jest.spyOn(logger, 'info').mockImplementation();
    await ciWorkflowGenerator(tree, { ci: 'gitlab' });
    const jobs = parse(tree.read('.gitlab/ci/images.yml', 'utf8')!) as Record<string, Record<string, unknown>>;
    expect(Object.keys(jobs)).toEqual(['images', 'images-merge-request']);
    expect(JSON.stringify(jobs['images']!['rules'])).not.toContain('merge_request');
    expect(jobs['images']!['artifacts']).toHaveProperty('paths');
    expect(jobs['images-merge-request']).toMatchObject({
      extends: 'images',
      artifacts: { paths: ['image-changes.md'], when: 'always' },
    });
    info.mockRestore();
  });

  it('does the same on GitLab, and explains where to include it', async () => {
    const info = jest.spyOn(logger, 'info').mockImplementation();
    await ciWorkflowGenerator(tree, { ci: 'gitlab', name: 'vm-images' });
    const pipeline = tree.read('.gitlab/ci/vm-images.yml', 'utf8');
    expect(pipeline).toMatch(/^vm-images:\n {2}image: node:22\n/);
    expect(pipeline).toContain('nx affected --head=$CI_COMMIT_SHA -t build verify');
    const [, command = ''] = /^ {4}- (case .*)$/m.exec(pipeline ?? '') ?? [];
    const base = (before: string) =>
      execFileSync('sh', ['-c', `${command}; echo "$NX_BASE"`], {
        env: { ...process.env, NX_BASE: before },
        encoding: 'utf8',
      });
    expect(base('0'.repeat(40))).toBe('HEAD~1\n');
    expect(base('00ab'.repeat(10))).toBe(`${'00ab'.repeat(10)}\n`);
    expect(info).toHaveBeenCalledWith(expect.stringContaining('.gitlab/ci/vm-images.yml'));
    info.mockRestore();
  });

  it.each([
    ['github', '.github/workflows/images.yml', '            '],
    ['gitlab', '.gitlab/ci/images.yml', '      - '],
  ] as const)('keeps all files of an image on %s', async (ci, path, indent) => {
    const info = jest.spyOn(logger, 'info').mockImplementation();
    await ciWorkflowGenerator(tree, { ci });
    const workflow = tree.read(path, 'utf8') ?? '';
    const kept = workflow.split('\n').filter((line) => line.includes('dist/'));
    const names = ['.igvm', '.igvm.map', '-vbs.cbor', '-snp.cbor', '-tdx.cbor', '-vbs.json', '-snp.json', '-tdx.json'];
    expect(kept).toEqual([...names, '-snp.idblock'].map((end) => `${indent}dist/**/*${end}`));
    info.mockRestore();
  });

  it.each(["it's", 'a: b', 'x # y', 'a\nb', '*', '!x', ''])(
    'refuses the main branch %j, which could have a special meaning',
    async (defaultBase) => {
      updateNxJson(tree, { ...readNxJson(tree), defaultBase });
      await expect(ciWorkflowGenerator(tree, {})).rejects.toThrow('defaultBase in nx.json');
      expect(tree.exists('.github/workflows/images.yml')).toBe(false);
    },
  );

  it('never overwrites a workflow, and accepts only names that need no quotes', async () => {
    await ciWorkflowGenerator(tree, {});
    await expect(ciWorkflowGenerator(tree, {})).rejects.toThrow(
      '.github/workflows/images.yml: this file already exists',
    );
    await expect(ciWorkflowGenerator(tree, { name: 'a: b' })).rejects.toThrow(`"a: b" can't name a workflow`);
    await expect(ciWorkflowGenerator(tree, { name: 'a: b' })).rejects.toThrow('"nx g nx-igvm:ci-workflow --help"');
  });
});
