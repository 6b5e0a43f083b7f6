import { fileOf, patternPage, platformOf, runOf } from '../igvm/igvm-file.fixture';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { imageDigests, measure } from './measure';

const file = (more: Partial<IgvmFile> = {}): IgvmFile =>
  fileOf(
    [runOf(0x1000, patternPage(1), { compatibilityMask: 3 }), runOf(0x2000, new Uint8Array(0), { pageCount: 1 })],
    {
      platforms: [
        platformOf(PLATFORM_TYPE.SEV_SNP, 1),
        platformOf(PLATFORM_TYPE.TDX, 2),
        platformOf(PLATFORM_TYPE.NATIVE, 4),
      ],
      initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 1 }],
      ...more,
    },
  );
const digest = async (image: IgvmFile, platform: 'snp' | 'tdx') =>
  Buffer.from((await measure(image, { platforms: [platform] }))[0]!.digest)
    .toString('hex')
    .toUpperCase();

describe('the digests of an image', () => {
  it('are those that the documents in the image endorse', async () => {
    const image = file();
    expect(await imageDigests(image)).toEqual([
      { platform: 'snp', launch: { vmm: 'hyperv' }, digest: await digest(image, 'snp') },
      { platform: 'tdx', digest: await digest(image, 'tdx') },
    ]);
  });

  it('give the reason for a platform that cannot be measured', async () => {
    const image = file({ initializations: [] });
    const reason = 'the file has no guest policy for its SEV-SNP platform';
    expect(await imageDigests(image)).toEqual([
      { platform: 'snp', launch: { vmm: 'hyperv' }, reason },
      { platform: 'tdx', digest: await digest(image, 'tdx') },
    ]);
  });

  it('name the location of pages that cannot be measured', async () => {
    const image = fileOf([runOf(0x1000, patternPage(1)), runOf(0x5000, patternPage(1), { dataType: 1 })]);
    expect(await imageDigests(image)).toEqual([
      {
        platform: 'vbs',
        reason: 'VBS measures NORMAL pages only, and the file has one of type SECRETS (GPA 0x5000-0x6000)',
      },
    ]);
  });

  it('are none when no platform has a launch measurement', async () => {
    expect(await imageDigests(file({ platforms: [platformOf(PLATFORM_TYPE.NATIVE)] }))).toEqual([]);
  });

  it('fail with the error of a source', async () => {
    const broken = new Error('the disk is gone');
    const content = {
      size: 4096,
      read() {
        throw broken;
      },
    };
    await expect(imageDigests(file({ directives: [runOf(0, content)] }))).rejects.toBe(broken);
  });
});
