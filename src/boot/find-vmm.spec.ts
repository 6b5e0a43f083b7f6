import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fakeQemu } from './fake-vmm.fixture';
import { findVmm } from './find-vmm';

describe('finding a VMM', () => {
  let folder: string;
  let empty: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-find-'));
    empty = join(folder, 'empty');
    mkdirSync(empty);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const code = (expected: string) => expect.objectContaining({ code: expected }) as Error;

  it('looks through PATH, for QEMU first', () => {
    const path = fakeQemu(folder);
    fakeQemu(folder, { name: 'cloud-hypervisor' });
    const found = findVmm({}, [empty, folder].join(delimiter));
    expect([found.vmm.name, found.path]).toEqual(['qemu', path]);
    expect(found.capabilities).toEqual({ ways: ['pvh'], accelerators: ['tcg'] });
  });

  it('takes the one that is there, or asked for', () => {
    fakeQemu(folder, { name: 'cloud-hypervisor' });
    expect(findVmm({}, folder).vmm.name).toBe('cloud-hypervisor');
    fakeQemu(folder);
    expect(findVmm({ vmm: 'cloud-hypervisor' }, folder).vmm.name).toBe('cloud-hypervisor');
  });

  it('takes a program by its path, and knows which it is by its name', () => {
    const path = fakeQemu(folder, { name: 'cloud-hypervisor-static' });
    expect(findVmm({ vmmPath: path }, '').vmm.name).toBe('cloud-hypervisor');
    const built = fakeQemu(folder, { name: 'my-own-build', igvm: true });
    expect(findVmm({ vmmPath: built }, '')).toMatchObject({
      vmm: { name: 'qemu' },
      capabilities: { ways: ['igvm', 'pvh'] },
    });
    expect(findVmm({ vmmPath: built, vmm: 'cloud-hypervisor' }, '').vmm.name).toBe('cloud-hypervisor');
    expect(findVmm({ vmmPath: 'my-own-build' }, folder).path).toBe(built);
  });

  it('says what is missing', () => {
    expect(() => findVmm({}, empty)).toThrow('QEMU or Cloud Hypervisor is not installed');
    expect(() => findVmm({ vmm: 'cloud-hypervisor' }, empty)).toThrow(code('VMM_MISSING'));
    expect(() => findVmm({ vmmPath: join(empty, 'qemu') }, folder)).toThrow(code('VMM_MISSING'));
    expect(() => findVmm({ vmm: 'bhyve' as 'qemu' }, folder)).toThrow('qemu or cloud-hypervisor');
  });

  it('does not take a folder or a plain file for a program', () => {
    mkdirSync(join(folder, 'qemu-system-x86_64'));
    writeFileSync(join(empty, 'qemu-system-x86_64'), '');
    expect(() => findVmm({ vmm: 'qemu' }, [folder, empty].join(delimiter))).toThrow(code('VMM_MISSING'));
  });

  it('fails for a program that is no QEMU', () => {
    const path = join(folder, 'qemu-system-x86_64');
    fakeQemu(folder);
    writeFileSync(path, `#!${process.execPath}\nprocess.exit(1)`);
    expect(() => findVmm({}, folder)).toThrow(code('VMM_FAILED'));
    expect(() => findVmm({}, folder)).toThrow('QEMU failed when asked for "-accel help": exit code 1');
  });

  it('passes on what a program said that can not answer', () => {
    const path = join(folder, 'qemu-system-x86_64');
    fakeQemu(folder);
    const script = "console.error('loading\\nlibpixman-1.so.0: cannot open shared object file'); process.exit(127);";
    writeFileSync(path, `#!${process.execPath}\n${script}`);
    expect(() => findVmm({}, folder)).toThrow(/"-accel help": libpixman-1\.so\.0: cannot open shared object file$/);
  });
});
