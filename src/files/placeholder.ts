/** Name of the files that keep empty folders under version control: no initramfs has them, and none depends on them. */
export const PLACEHOLDER = '.gitkeep';
