import { IgvmError } from '../errors/igvm-error';
import type { UrlReference } from './resource-reference';

/**
 * A URL that may be downloaded from: http or https.
 * @throws IgvmError DOWNLOAD_REFUSED, which doesn't repeat the text: it may hold a password
 */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new IgvmError('DOWNLOAD_REFUSED', 'this is not a URL');
  checkScheme(url);
  if (url.hostname === '') throw new IgvmError('DOWNLOAD_REFUSED', 'this URL names no host');
  url.hash = '';
  return url;
}

/** @throws IgvmError DOWNLOAD_REFUSED */
export function checkScheme({ protocol }: URL): void {
  if (protocol === 'https:' || protocol === 'http:') return;
  throw new IgvmError('DOWNLOAD_REFUSED', `only http and https are possible, and this URL begins with "${protocol}"`);
}

/**
 * A URL as messages show it: without user and password, and without its query, which may hold a signature or a token. Without
 * a fragment, too, which a server never sees.
 */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`;
}

/** How messages name what a URL names. @throws IgvmError DOWNLOAD_REFUSED for what is no URL */
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

/** The value of an Authorization header for the user and password of a URL; undefined when it has none. */
export function authorizationOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  const pair = `${decoded(username)}:${decoded(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

/** A percent sign that begins no escape stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
