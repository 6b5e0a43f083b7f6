/** What the tokens in a target's options stand for. */
export interface TokenProject {
  /** The project's name. */
  readonly name: string;
  /** Its folder, relative to the workspace. */
  readonly root: string;
}

/** The text of an option with Nx's tokens replaced, as Nx does before it runs a target. */
export const replaceTokens = (value: string, { name, root }: TokenProject): string =>
  value
    .replace(/^\{workspaceRoot\}\//, '')
    .replaceAll('{projectRoot}', root)
    .replaceAll('{projectName}', name);
