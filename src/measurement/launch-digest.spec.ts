import { isForPlatform } from './launches';

describe('a directive', () => {
  it('is part of a platform when its mask has all bits of it', () => {
    expect(isForPlatform({ compatibilityMask: 0b101 }, 0b100)).toBe(true);
    expect(isForPlatform({ compatibilityMask: 0b101 }, 0b010)).toBe(false);
    expect(isForPlatform({ compatibilityMask: 0b101 }, 0b110)).toBe(false);
  });

  it('is part of the platform with the highest bit, too', () => {
    expect(isForPlatform({ compatibilityMask: 0x8000_0001 }, 0x8000_0000)).toBe(true);
    expect(isForPlatform({ compatibilityMask: 0x7fff_ffff }, 0x8000_0000)).toBe(false);
  });

  it('is part of all platforms when it has no mask', () => {
    expect(isForPlatform({}, 1)).toBe(true);
    expect(isForPlatform({ compatibilityMask: undefined }, 1)).toBe(true);
  });
});
