import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { featuresOf, nxFeatures, nxVersion, requireSupportedNx } from './workspace-nx';

describe('what an Nx has', () => {
  it.each([
    ['21.0.0', false, false, false],
    ['22.7.12', false, false, false],
    ['23.0.0-beta.3', false, false, false],
    ['23.0.0', false, true, false],
    ['23.2.1', false, true, false],
    ['23.3.0-rc.0', false, true, false],
    ['23.3.0', true, true, false],
    ['23.10.0', true, true, false],
    ['24.0.4', true, true, false],
    ['24.0.5-beta.0', true, true, false],
    ['24.0.5', true, true, true],
    ['24.0.6', true, true, true],
    ['24.0.0-beta.1', true, true, false],
    ['25.0.0', true, true, true],
    ['0.0.0-pr-1234', false, false, false],
  ])(
    '%s: includeIgnored %s, "..." %s, results of continuous tasks %s',
    (version, includeIgnored, spread, continuousResult) => {
      expect(featuresOf(version)).toEqual({ version, includeIgnored, spread, continuousResult });
    },
  );
});

describe('an Nx that is too old', () => {
  it.each(['20.8.4', '19.8.14', '21.0.0-beta.0', 'unknown'])('is refused: %s', (version) => {
    expect(() => requireSupportedNx(version)).toThrow(`nx-igvm needs Nx 21 or newer, this workspace has ${version}`);
  });

  it.each(['21.0.0', '21.6.11', '22.0.0', '24.0.6', '25.1.0'])('is not %s', (version) => {
    requireSupportedNx(version);
  });
});

describe('the Nx of a workspace', () => {
  let workspace: string;
  beforeEach(() => {
    workspace = mkdtempSync(join(tmpdir(), 'nx-igvm-nx-'));
  });
  afterEach(() => rmSync(workspace, { recursive: true, force: true }));
  const install = (folder: string, version: string): void => {
    const path = join(workspace, folder, 'node_modules', 'nx');
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'package.json'), JSON.stringify({ name: 'nx', version }));
  };

  it('is the one installed in it, not the one of this package', () => {
    install('.', '22.7.12');
    expect(nxVersion(workspace)).toBe('22.7.12');
    expect(nxFeatures(workspace)).toEqual(featuresOf('22.7.12'));
  });

  it('is the one of the wrapper, which installs below .nx', () => {
    install(join('.nx', 'installation'), '21.6.11');
    expect(nxVersion(workspace)).toBe('21.6.11');
  });

  it('is the one of this package where the workspace has none', () => {
    expect(nxVersion(workspace)).toBe((require('nx/package.json') as { version: string }).version);
  });
});
