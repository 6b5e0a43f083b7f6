import type { ProjectGraph, TargetConfiguration } from '@nx/devkit';
import { checkTrackedOptions } from './check-target';

const NAMES = ['resources', 'loader'];

function check(options: object, target: TargetConfiguration, configuration?: string): void {
  const node = { type: 'app' as const, name: 'guest', data: { root: 'guest', targets: { build: target } } };
  const projectGraph: ProjectGraph = { nodes: { guest: node }, dependencies: {} };
  checkTrackedOptions(
    { root: '/srv', projectGraph },
    { project: 'guest', target: 'build', configuration },
    options,
    NAMES,
  );
}

describe('files in options', () => {
  const cached: TargetConfiguration = {
    cache: true,
    options: { resources: 'guest/resources.json' },
    configurations: { release: { resources: 'release.json', loader: 'bin/igvmfilegen' } },
  };

  it('are allowed if the target names them, however they are written', () => {
    expect(() => check({}, cached)).not.toThrow();
    expect(() => check({ resources: 'guest/resources.json' }, cached)).not.toThrow();
    expect(() => check({ resources: '/srv/guest/../guest/resources.json' }, cached)).not.toThrow();
  });

  it('are allowed if the configuration that runs names them', () => {
    const options = { resources: 'release.json', loader: 'bin/igvmfilegen' };
    expect(() => check(options, cached, 'release')).not.toThrow();
    expect(() => check(options, cached)).toThrow('--resources=release.json');
  });

  it('are refused if only the command line names them', () => {
    expect(() => check({ resources: 'other.json' }, cached)).toThrow(
      expect.objectContaining({ code: 'NX_OPTION_UNTRACKED' }),
    );
    expect(() => check({ loader: 'other' }, cached)).toThrow('--loader=other');
  });

  it('are allowed if the target is not cached', () => {
    expect(() => check({ resources: 'other.json' }, { options: {} })).not.toThrow();
    expect(() => check({ resources: 'other.json' }, { ...cached, cache: false })).not.toThrow();
  });

  it('are allowed outside of a task', () => {
    const context = { root: '/srv', projectGraph: { nodes: {}, dependencies: {} } };
    expect(() => checkTrackedOptions(context, undefined, { resources: 'other.json' }, NAMES)).not.toThrow();
  });
});
