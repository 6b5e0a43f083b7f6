import { isAbsolute, relative, resolve, sep } from 'node:path';

/** How messages name a path: from `folder` on and with `/` when it lies inside, otherwise as it is. */
export function shownPath(folder: string, path: string): string {
  const inside = relative(folder, resolve(folder, path));
  const steps = inside.split(sep);
  return inside === '' || steps[0] === '..' || isAbsolute(inside) ? path : steps.join('/');
}
