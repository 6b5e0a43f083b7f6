/** initrd.json, once: validation and the JSON Schema for editors come from here. */
import { z } from 'zod';
import { closedStruct, count, list, patternText, struct, text, u32, word } from '../manifest/schema-parts';

const path = (description: string) => text(description).min(1, { error: () => 'a path' });
const mode = (description: string) => patternText(/^[0-7]{3,4}$/, 'three or four octal digits', description);

const device = closedStruct(
  {
    path: path('Where it is in the initramfs, for example `/dev/console`.'),
    type: word(['char', 'block'], 'Whether it is a character or a block device.'),
    major: count({ max: 4095n }, 'Major number.'),
    minor: u32('Minor number.'),
    mode: mode('Octal permissions; by default 600.').optional(),
  },
  'A device node.',
);

export const initrdSchema = struct({
  $schema: text('The JSON Schema of this file, for editors.').optional(),
  name: text("The Nx project's name, where the folder has neither project.json nor package.json.")
    .min(1, { error: () => 'a name' })
    .optional(),
  folder: path('The folder whose content becomes the root of the initramfs, relative to this file.').default('rootfs'),
  compression: word(['none', 'gzip', 'zstd'], 'How the archive is compressed. The kernel has to know it.').default(
    'none',
  ),
  directories: list(
    path('A folder in the initramfs.'),
    'Folders that may be empty, which version control drops.',
  ).default([]),
  devices: list(device, 'Device nodes, which no folder under version control can hold.').default([]),
  symlinks: z
    .record(z.string(), path('What it points to.'), { error: () => 'an object' })
    .default({})
    .meta({ description: 'Symbolic links besides those of the folder, by their path in the initramfs.' }),
  modes: z
    .record(z.string(), mode('Octal permissions.'), { error: () => 'an object' })
    .default({})
    .meta({
      description:
        'Octal permissions by path, in place of 755 for folders and for files that anyone may execute, and 644 for others.',
    }),
}).meta({ title: 'Initramfs', description: 'What an initramfs is packed from.' });
