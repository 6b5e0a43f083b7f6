import type { BootResult } from '../../boot/boot-image';
import { NX_IGVM, run } from '../programs';

let mockResult: Partial<BootResult>;
jest.mock('../../boot/boot-image', () => ({ bootImage: () => Promise.resolve(mockResult) }));

describe('a signal while the command boot runs a VM', () => {
  const boot = async (result: Partial<BootResult>) => {
    mockResult = result;
    const kill = jest.spyOn(process, 'kill').mockReturnValue(true);
    const quiet = { cwd: '/', stdout: () => undefined, stderr: () => undefined, isInteractive: false };
    const code = await run(NX_IGVM, ['boot', 'a.igvm'], quiet);
    const killed = kill.mock.calls;
    kill.mockRestore();
    return { code, killed };
  };

  it('ends the command as usual, once the VM is gone', async () => {
    expect((await boot({ by: 'stopped', signal: 'SIGTERM' })).killed).toEqual([[process.pid, 'SIGTERM']]);
  });

  it('has no effect once the guest has ended', async () => {
    expect(await boot({ by: 'matched', signal: 'SIGINT' })).toEqual({ code: 0, killed: [] });
  });
});
