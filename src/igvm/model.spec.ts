import { ACCEPTANCE_HEADER } from './model';

describe('a page in the file', () => {
  it('has the type and flags that the loader asked for (igvm_defs: IgvmPageDataType, IgvmPageDataFlags)', () => {
    expect(ACCEPTANCE_HEADER).toEqual({
      exclusive: { dataType: 0, flags: 0 },
      exclusiveUnmeasured: { dataType: 0, flags: 2 },
      secrets: { dataType: 1, flags: 0 },
      cpuid: { dataType: 2, flags: 0 },
      cpuidExtendedState: { dataType: 3, flags: 0 },
      shared: { dataType: 0, flags: 4 },
    });
  });
});
