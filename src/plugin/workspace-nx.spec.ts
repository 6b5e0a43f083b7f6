import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { featuresOf, nxFeatures, nxVersion, requireSupportedNx } from './workspace-nx';

const SINCE_23 = ['batchHashes', 'graphWritten', 'spread'];

describe('what an Nx has', () => {
  it.each([
    ['21.0.0', []],
    ['22.7.12', []],
    ['23.0.0-beta.3', []],
    ['23.0.0', SINCE_23],
    ['23.2.1', SINCE_23],
    ['23.3.0-rc.0', SINCE_23],
    ['23.3.0', [...SINCE_23, 'includeIgnored']],
    ['23.10.0', [...SINCE_23, 'includeIgnored']],
    ['24.0.0-beta.1', [...SINCE_23, 'includeIgnored']],
    ['24.0.4', [...SINCE_23, 'includeIgnored']],
    ['24.0.5-beta.0', [...SINCE_23, 'includeIgnored']],
    ['24.0.5', [...SINCE_23, 'continuousResult', 'includeIgnored']],
    ['24.0.6', [...SINCE_23, 'continuousResult', 'includeIgnored']],
    ['25.0.0', [...SINCE_23, 'continuousResult', 'includeIgnored']],
    ['0.0.0-pr-1234', []],
  ])('%s: %j', (version, has) => {
    const { version: _, ...features } = featuresOf(version);
    const those = Object.entries(features).filter(([, is]) => is);
    expect(those.map(([feature]) => feature).sort()).toEqual([...has].sort());
  });
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
