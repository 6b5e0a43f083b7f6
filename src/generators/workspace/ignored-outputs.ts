import type { Tree } from 'nx/src/devkit-exports';

const IGNORES_DIST = /^\/?dist\/?$/m;

/** Keeps built images out of version control: adds `dist` to .gitignore where no line says so yet. */
export function ignoreOutputs(tree: Tree): void {
  const content = tree.read('.gitignore', 'utf8') ?? '';
  if (IGNORES_DIST.test(content.replace(/\r/g, ''))) {
    return;
  }
  const separator = content === '' || content.endsWith('\n') ? '' : '\n';
  tree.write('.gitignore', `${content}${separator}dist\n`);
}
