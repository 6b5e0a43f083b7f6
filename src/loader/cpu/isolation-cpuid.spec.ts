import { isolationCpuid } from './cpuid';

describe('isolationCpuid', () => {
  it('names the isolation type and whether a paravisor runs', () => {
    expect(isolationCpuid({ type: 'none', paravisorPresent: false })).toEqual({ eax: 0, ebx: 0 });
    expect(isolationCpuid({ type: 'vbs', paravisorPresent: true })).toEqual({ eax: 1, ebx: 1 });
  });

  it('gives the shared GPA boundary', () => {
    expect(isolationCpuid({ type: 'snp', paravisorPresent: false, sharedGpaBoundaryBits: 39 })).toEqual({
      eax: 0,
      ebx: 2 | (1 << 5) | (39 << 6),
    });
    expect(isolationCpuid({ type: 'tdx', paravisorPresent: true, sharedGpaBoundaryBits: 47 })).toEqual({
      eax: 1,
      ebx: 3 | (1 << 5) | (47 << 6),
    });
  });
});
