import { ERROR_CODES, type ErrorCode } from './errors/codes';
import { BOOT_ERRORS } from './every-error/boot.fixture';
import { FILE_ERRORS } from './every-error/file.fixture';
import { IMAGE_ERRORS } from './every-error/image.fixture';
import { LOADER_ERRORS } from './every-error/loader.fixture';
import { MANIFEST_ERRORS } from './every-error/manifest.fixture';
import { NX_ERRORS } from './every-error/nx.fixture';
import { type Provocation, Scene } from './every-error/scene.fixture';

/** For each error in docs/errors.md, the simplest way to cause it. */
const PROVOCATIONS: Record<ErrorCode, Provocation> = {
  ...FILE_ERRORS,
  ...MANIFEST_ERRORS,
  ...LOADER_ERRORS,
  ...IMAGE_ERRORS,
  ...BOOT_ERRORS,
  ...NX_ERRORS,
};

describe('the error', () => {
  let scene: Scene;
  beforeEach(() => void (scene = new Scene()));
  afterEach(() => scene.dispose());

  it.each(Object.entries(PROVOCATIONS).map(([code, [what, provoke]]) => ({ code, what, provoke })))(
    '$code is shown to a user who $what',
    async ({ code, provoke }) => {
      const shown = await provoke(scene);
      expect(shown).toContain(`[${code}]`);
      expect(shown.match(/\[[A-Z]+(_[A-Z]+)*\]/g)).toEqual([`[${code}]`]);
      // The cure of a generator's error has the generator's name.
      const general = shown.replaceAll('nx-igvm:ci-workflow', 'nx-igvm:NAME');
      expect(general).toContain(`\n  ${ERROR_CODES[code as ErrorCode].cure}`);
      expect(shown).not.toMatch(/^ +at /m);
    },
  );

  it('is caused here for every code in docs/errors.md', () => {
    expect(Object.keys(PROVOCATIONS).sort()).toEqual(Object.keys(ERROR_CODES).sort());
  });
});
