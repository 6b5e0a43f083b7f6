import { IgvmError } from '../../errors/igvm-error';
import type { ContainerConfig } from './container-image';
import { containerProcess, type ProcessOverrides } from './container-process';
import { LayerTree } from './layer-tree';

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\nbroken\n';
const GROUP = 'root:x:0:\nnode:x:1001:\nvideo:x:44:other,node\naudio:x:29:node\n';

/** The process for a configuration, in an image with some programs and, if `tables`, users and groups. */
function processOf(config: Partial<ContainerConfig>, overrides: ProcessOverrides = {}, tables = true) {
  const tree = new LayerTree();
  tree.nextLayer();
  const contents: string[] = [];
  const add = (name: string, permissions: number, content = ''): void => {
    contents.push(content);
    const offset = contents.length - 1;
    tree.add(name, { type: 'file', permissions, owner: 0, group: 0, time: 0, size: content.length, offset });
  };
  add('usr/bin/node', 0o755);
  add('usr/local/bin/other', 0o755);
  add('app/start.sh', 0o755);
  add('app/readme', 0o644);
  tree.add('bin', { type: 'link', permissions: 0o777, owner: 0, group: 0, time: 0, size: 7, target: 'usr/bin' });
  if (tables) {
    add('etc/passwd', 0o644, PASSWD);
    add('etc/group', 0o644, GROUP);
  }
  const whole: ContainerConfig = {
    architecture: 'x64',
    entrypoint: ['node'],
    command: [],
    environment: [],
    workingDirectory: '',
    user: '',
    ...config,
  };
  return containerProcess(whole, tree, ({ offset }) => Buffer.from(contents[offset ?? 0]!), overrides);
}

const failureOf = (...args: Parameters<typeof processOf>): IgvmError => {
  try {
    processOf(...args);
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('the process of a container image', () => {
  it('runs ENTRYPOINT and CMD in the folder and with the variables of the image', () => {
    const process = processOf({
      entrypoint: ['node', '--flag'],
      command: ['server.js', 'two words'],
      environment: ['A=1', 'B=x=y', 'A=2', 'nothing', '=nothing'],
      workingDirectory: '/app',
    });
    expect(process).toEqual({
      program: '/usr/bin/node',
      arguments: ['node', '--flag', 'server.js', 'two words'],
      environment: ['A=2', 'B=x=y', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root'],
      workingDirectory: '/app',
      user: 0,
      group: 0,
      groups: [],
    });
  });

  it('runs the command of initrd.json instead, with its variables', () => {
    const process = processOf(
      { environment: ['A=1', 'B=2'] },
      { command: ['other', 'x'], environment: { A: '3', C: '' } },
    );
    expect(process).toMatchObject({ program: '/usr/local/bin/other', arguments: ['other', 'x'] });
    expect(process.environment).toEqual(expect.arrayContaining(['A=3', 'B=2', 'C=']));
  });

  it.each([
    ['by its path', ['/usr/bin/node'], '/', '/usr/bin/node'],
    ['through a link', ['/bin/node'], '/', '/bin/node'],
    ['in the working directory', ['./start.sh'], '/app', '/app/start.sh'],
    ['below the root, if there is no working directory', ['app/start.sh'], '', '/app/start.sh'],
  ])('finds the program %s', (_, entrypoint, workingDirectory, program) => {
    expect(processOf({ entrypoint, workingDirectory }).program).toBe(program);
  });

  it('finds the program in the PATH of the image, which replaces the usual one', () => {
    expect(processOf({ entrypoint: ['start.sh'], environment: ['PATH=/nowhere:/app'] }).program).toBe('/app/start.sh');
    expect(failureOf({ environment: ['PATH=/app'] }).message).toMatch(
      /"node" is in none of the folders of its PATH \(\/app\)/,
    );
  });

  it.each([
    ['root, if no user is given', '', { user: 0, group: 0, groups: [] }, 'HOME=/root'],
    ['root', 'root', { user: 0, group: 0, groups: [] }, 'HOME=/root'],
    ['a user', 'node', { user: 1000, group: 1001, groups: [29, 44] }, 'HOME=/home/node'],
    ['the number of a user', '1000', { user: 1000, group: 1001, groups: [29, 44] }, 'HOME=/home/node'],
    ['a user and a group', 'node:video', { user: 1000, group: 44, groups: [] }, 'HOME=/home/node'],
    ['unknown numbers', '77:88', { user: 77, group: 88, groups: [] }, 'HOME=/'],
  ])('runs as %s', (_, user, account, home) => {
    const process = processOf({ user });
    expect(process).toMatchObject(account);
    expect(process.environment).toContain(home);
  });

  it('runs as root or as a number in an image without users', () => {
    expect(processOf({ user: 'root' }, {}, false)).toMatchObject({ user: 0, group: 0 });
    expect(processOf({ user: '1000' }, {}, false)).toMatchObject({ user: 1000, group: 0 });
  });

  it.each([
    ['no command', { entrypoint: [] }, /neither ENTRYPOINT nor CMD/],
    ['a program that does not exist', { entrypoint: ['/bin/none'] }, /"\/bin\/none" is not in the image/],
    ['a program that is not executable', { entrypoint: ['/app/readme'] }, /is not executable/],
    ['a folder as a program', { entrypoint: ['/app'] }, /not in the image/],
    ['a user that does not exist', { user: 'nobody' }, /the user "nobody" is not in "\/etc\/passwd"/],
    ['a group that does not exist', { user: 'node:none' }, /the group "none" is not in "\/etc\/group"/],
    ['a number that is too large', { user: '99999999999' }, /the user "99999999999"/],
    ['the number that means none', { user: '4294967295' }, /the user "4294967295"/],
    ['a working directory that is a file', { workingDirectory: '/app/readme' }, /not a folder/],
  ])('refuses %s', (_, config, message) => {
    expect(failureOf(config)).toMatchObject({ code: 'CONTAINER_PROCESS', message: expect.stringMatching(message) });
  });
});
