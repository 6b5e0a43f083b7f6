import { IgvmError } from '../errors/igvm-error';

/** The meaning of a resource's text, without looking at any file: the same for inference and the build. */
export type ResourceReference = FileReference | OutputReference | UrlReference;

export interface FileReference {
  kind: 'file';
  /** The base of `path`. */
  base: 'manifest' | 'workspace' | 'absolute';
  /** A path with `/`, or when `glob` a pattern (glob.ts). */
  path: string;
  glob: boolean;
  sha256?: string;
}

/** A file that another target writes. */
export interface OutputReference {
  kind: 'output';
  project: string;
  target: string;
  /** Relative to the workspace. */
  path: string;
  sha256?: string;
}

/** A file on a web server, or a file in an archive there. */
export interface UrlReference {
  kind: 'url';
  /** As written; not checked. */
  url: string;
  /** The digest of the download, which is the archive if there is a member. */
  sha256?: string;
  /** Path of a file in the archive. */
  member?: string;
}

const WORKSPACE_ROOT = '{workspaceRoot}/';
/** An unescaped `*`, `?`, `[` or `{`, or an extended glob such as `+(…)`. Parentheses alone are ordinary characters. */
const GLOB = /(?:^|[^\\])(?:\\\\)*(?:[*?[{]|[@!+]\()/;
const ESCAPED = /\\([\\*?[\]{}()!+@])/g;
const ABSOLUTE = /^(?:\/|[A-Za-z]:[\\/]|\\\\)/;

function fileReference(text: string, sha256?: string): FileReference {
  const inWorkspace = text.startsWith(WORKSPACE_ROOT);
  const path = inWorkspace ? text.slice(WORKSPACE_ROOT.length) : text;
  const base = inWorkspace ? 'workspace' : ABSOLUTE.test(path) ? 'absolute' : 'manifest';
  const glob = GLOB.test(path);
  return {
    kind: 'file',
    base,
    path: glob ? path : path.replace(ESCAPED, '$1'),
    glob,
    ...(sha256 === undefined ? {} : { sha256: sha256.toLowerCase() }),
  };
}

/** The meaning of a resource in a manifest; undefined when it has none of the valid forms. */
export function parseResource(resource: unknown): ResourceReference | undefined {
  if (typeof resource === 'string') return resource === '' ? undefined : fileReference(resource);
  if (typeof resource !== 'object' || resource === null) return undefined;
  const { path, project, target, sha256, url, member } = resource as Record<string, unknown>;
  if (typeof url === 'string' && url !== '') {
    return {
      kind: 'url',
      url,
      ...(typeof sha256 === 'string' ? { sha256: sha256.toLowerCase() } : {}),
      ...(typeof member === 'string' ? { member } : {}),
    };
  }
  if (typeof path !== 'string' || path === '') return undefined;
  const pin = typeof sha256 === 'string' ? sha256 : undefined;
  if (project === undefined && target === undefined) return fileReference(path, pin);
  if (typeof project !== 'string' || typeof target !== 'string') return undefined;
  return {
    kind: 'output',
    project,
    target,
    path: path.startsWith(WORKSPACE_ROOT) ? path.slice(WORKSPACE_ROOT.length) : path,
    ...(pin === undefined ? {} : { sha256: pin.toLowerCase() }),
  };
}

/**
 * A URL that may be downloaded: http or https.
 * @throws IgvmError DOWNLOAD_REFUSED. It doesn't quote the text, which may contain a password.
 */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new IgvmError('DOWNLOAD_REFUSED', 'this is not a URL');
  checkScheme(url);
  if (url.hostname === '') throw new IgvmError('DOWNLOAD_REFUSED', 'this URL has no host');
  url.hash = '';
  return url;
}

/** @throws IgvmError DOWNLOAD_REFUSED */
export function checkScheme({ protocol }: URL): void {
  if (protocol === 'https:' || protocol === 'http:') return;
  throw new IgvmError('DOWNLOAD_REFUSED', `only http and https are supported, and this URL begins with "${protocol}"`);
}

/**
 * A URL for messages: without user and password, without its query, which may contain a signature or a token, and without its fragment,
 * which a server never sees.
 */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`;
}

/** The name of a download for messages. @throws IgvmError DOWNLOAD_REFUSED for an invalid URL */
export function shownReference({ url, member }: Pick<UrlReference, 'url' | 'member'>): string {
  const shown = shownUrl(parseUrl(url));
  return member === undefined ? shown : `${shown} (${member})`;
}

/** A URL without user and password, for a file that others read. */
export function withoutPassword(url: URL): string {
  const open = new URL(url);
  open.username = '';
  open.password = '';
  return open.href;
}

/** The Authorization header for the user and password of a URL; undefined when it has none. */
export function authorizationOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  const pair = `${decoded(username)}:${decoded(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

/** A percent sign that doesn't begin an escape is an ordinary character. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
