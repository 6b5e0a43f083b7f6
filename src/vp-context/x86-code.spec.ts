import { JUMP, X86Code } from './x86-code';

const at = (offset: number): { code: X86Code; page: Uint8Array } => {
  const page = new Uint8Array(4096);
  return { code: new X86Code(page, offset), page };
};

describe('X86Code', () => {
  it('jumps as far as two bytes can encode', () => {
    const { code, page } = at(1000);
    code.jumpBack(JUMP.always, 1002 - 128);
    expect([...page.subarray(1000, 1002)]).toEqual([0xeb, 0x80]);
    const jump = code.jumpAhead(JUMP.ifZero);
    code.offset += 127;
    code.land(jump);
    expect([...page.subarray(1002, 1004)]).toEqual([0x74, 127]);
  });

  it('does not jump elsewhere when that is not far enough', () => {
    const { code } = at(1000);
    expect(() => code.jumpBack(JUMP.always, 1001 - 128)).toThrow(/bug .* -129 bytes back/);
    const jump = code.jumpAhead(JUMP.ifZero);
    code.offset += 128;
    expect(() => code.land(jump)).toThrow(/bug .* 128 bytes ahead/);
  });

  it('computes the distance from the end of an instruction to its operand', () => {
    const { code, page } = at(0x100);
    code.withRelative([0xff, 0x25], 0);
    expect(new DataView(page.buffer).getInt32(0x102, true)).toBe(-0x106);
  });
});
