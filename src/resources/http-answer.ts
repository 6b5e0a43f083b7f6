/** One response of a web server, through redirects and proxies. */
import { IgvmError } from '../errors/igvm-error';
import { authorizationOf, checkScheme, shownUrl } from './resource-reference';
import type { Agent, Dispatcher } from 'undici';

/** The most redirects for one download. */
const MOST_REDIRECTS = 10;

/** Milliseconds without a byte after which a server counts as unresponsive. */
const PATIENCE = 60_000;

const REDIRECTS = [301, 302, 303, 307, 308];

/** Status codes that may be temporary. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];

/** A temporary failure of the transfer, after which another attempt may succeed. */
export class Interruption extends Error {}

/** A request for a file or its end. */
export interface HttpRequest {
  url: URL;
  /** The first byte to send. */
  from: number;
  /** An ETag or a date: the rest of the file is useful only if it still matches. */
  validator?: string;
}

/** The response of a server. */
export interface HttpAnswer {
  /** The offset of its first byte: as requested, or 0 if the server sends the whole file. */
  from: number;
  /** The size of the whole file in bytes, if the server states it. It may be wrong. */
  size?: number;
  /** Identifies this version of the file in a later request: a strong ETag, or the time of its last change. */
  validator?: string;
  /** The content encoding that the server states. The bytes are stored unchanged. */
  encoding?: string;
  /** @throws Interruption when the connection is lost */
  body: AsyncIterable<Uint8Array>;
  /** Closes the connection, for a body that isn't read to its end. */
  close(): void;
}

/** Connections through the proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in upper or lower case. Must be closed. */
export interface HttpClient {
  /**
   * Requests a file, following redirects.
   * @throws Interruption for a temporary failure; IgvmError DOWNLOAD_FAILED for a permanent one, DOWNLOAD_REFUSED for a redirect that is
   *   not allowed
   */
  ask(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/** @param patience milliseconds to wait for an unresponsive server */
export function openHttpClient(patience = PATIENCE): HttpClient {
  const { EnvHttpProxyAgent } = require('undici') as typeof import('undici');
  const timeouts: Agent.Options = { headersTimeout: patience, bodyTimeout: patience, connect: { timeout: patience } };
  // Tunnels are only for https: many proxies refuse one to port 80.
  let agent: Dispatcher;
  try {
    agent = new EnvHttpProxyAgent({ ...timeouts, proxyTunnel: false });
  } catch {
    // The original error would quote the variable, which may contain a password.
    throw new IgvmError('DOWNLOAD_FAILED', 'HTTP_PROXY or HTTPS_PROXY is not the URL of a proxy');
  }
  return {
    ask: (request) => askFollowing(agent, request),
    close: () => agent.destroy(),
  };
}

async function askFollowing(agent: Dispatcher, request: HttpRequest): Promise<HttpAnswer> {
  let { url } = request;
  let authorization = authorizationOf(url);
  for (let followed = 0; followed <= MOST_REDIRECTS; followed++) {
    const response = await send(agent, url, headersOf(request, authorization));
    const { statusCode: status } = response;
    if (!REDIRECTS.includes(status)) return answerOf(response, request, url);
    response.body.on('error', () => undefined).destroy();
    const next = redirectTarget(url, headerOf(response, 'location'), status);
    // A password must not be sent to another server.
    if (next.origin !== url.origin) authorization = undefined;
    url = next;
  }
  throw new IgvmError('DOWNLOAD_REFUSED', `${shownUrl(request.url)} leads to more than ${MOST_REDIRECTS} redirects`);
}

/** The target of a redirect. @throws IgvmError DOWNLOAD_FAILED, DOWNLOAD_REFUSED */
export function redirectTarget(url: URL, location: string | undefined, status: number): URL {
  if (location === undefined || !URL.canParse(location, url.href)) {
    throw new IgvmError('DOWNLOAD_FAILED', `${shownUrl(url)} redirects (${status}) without a valid URL`);
  }
  const next = new URL(location, url);
  checkScheme(next);
  if (url.protocol === 'https:' && next.protocol !== 'https:') {
    throw new IgvmError('DOWNLOAD_REFUSED', `${shownUrl(url)} redirects from https to ${shownUrl(next)}`);
  }
  return next;
}

const headersOf = ({ from, validator }: HttpRequest, authorization: string | undefined): Record<string, string> => ({
  'user-agent': 'nx-igvm',
  accept: '*/*',
  // The digest is that of the file, not of an encoded form.
  'accept-encoding': 'identity',
  ...(from === 0 ? {} : { range: `bytes=${from}-`, ...(validator === undefined ? {} : { 'if-range': validator }) }),
  ...(authorization === undefined ? {} : { authorization }),
});

async function send(agent: Dispatcher, url: URL, headers: Record<string, string>): Promise<Dispatcher.ResponseData> {
  const target = new URL(url);
  target.username = '';
  target.password = '';
  target.hash = '';
  try {
    const { request } = require('undici') as typeof import('undici');
    return await request(target, { dispatcher: agent, method: 'GET', headers });
  } catch (error) {
    throw networkFailure(url, error);
  }
}

const headerOf = ({ headers }: Dispatcher.ResponseData, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
};

function answerOf(response: Dispatcher.ResponseData, { from, validator }: HttpRequest, url: URL): HttpAnswer {
  const { statusCode: status, body } = response;
  const close = (): void => void body.on('error', () => undefined).destroy();
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headerOf(response, 'content-range') ?? '');
  const seen = validatorOf(response);
  const isContinued =
    status === 206 &&
    Number(range?.[1]) === from &&
    (validator === undefined || seen === undefined || seen === validator);
  if (status !== 200 && !isContinued) {
    close();
    // 416: the file is shorter than the part that has been downloaded. 206: another part, or a part of another file.
    if (from > 0 && (status === 416 || status === 206)) throw new StaleStart(url);
    const what = `${shownUrl(url)} answers with status ${status}`;
    throw PASSING.includes(status) ? new Interruption(what) : new IgvmError('DOWNLOAD_FAILED', what);
  }
  const total = isContinued ? range?.[2] : headerOf(response, 'content-length');
  return {
    from: isContinued ? from : 0,
    ...(total !== undefined && /^\d+$/.test(total) ? { size: Number(total) } : {}),
    ...(seen === undefined ? {} : { validator: seen }),
    ...encodingOf(response),
    body: interruptible(body, url),
    close,
  };
}

/** The part that has been downloaded can't be continued: the download has to start again. */
export class StaleStart extends Interruption {
  constructor(url: URL) {
    super(`${shownUrl(url)} has a different file from the one that was partly downloaded`);
  }
}

function encodingOf(response: Dispatcher.ResponseData): Pick<HttpAnswer, 'encoding'> {
  const encoding = headerOf(response, 'content-encoding')?.trim().toLowerCase() ?? '';
  return encoding === '' || encoding === 'identity' ? {} : { encoding };
}

/** Files with the same weak ETag may have different bytes (RFC 9110, 8.8.1). */
function validatorOf(response: Dispatcher.ResponseData): string | undefined {
  const etag = headerOf(response, 'etag');
  return etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : headerOf(response, 'last-modified');
}

async function* interruptible(body: AsyncIterable<Uint8Array>, url: URL): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw networkFailure(url, error);
  }
}

/** Network errors: their meaning, and whether they may be temporary. */
const NETWORK_ERRORS: Readonly<Record<string, { reason: string; passes: boolean }>> = {
  ECONNREFUSED: { reason: 'the connection was refused', passes: false },
  ECONNRESET: { reason: 'the connection was lost', passes: true },
  EHOSTUNREACH: { reason: 'the host is unreachable', passes: false },
  ENETUNREACH: { reason: 'the network is unreachable', passes: false },
  ENOTFOUND: { reason: 'there is no such host, or no network', passes: false },
  EAI_AGAIN: { reason: 'the name of the host cannot be resolved at the moment', passes: false },
  EPIPE: { reason: 'the connection was lost', passes: true },
  ETIMEDOUT: { reason: 'the connection timed out', passes: true },
  UND_ERR_BODY_TIMEOUT: { reason: 'the server stopped sending', passes: true },
  UND_ERR_CONNECT_TIMEOUT: { reason: 'the connection timed out', passes: true },
  UND_ERR_HEADERS_TIMEOUT: { reason: 'the server does not answer', passes: true },
  UND_ERR_HEADERS_OVERFLOW: { reason: 'the header of the response is too large', passes: false },
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: { reason: 'the server sent more or fewer bytes than it stated', passes: true },
  UND_ERR_SOCKET: { reason: 'the connection was lost', passes: true },
};

function networkFailure(url: URL, error: unknown): Error {
  if (error instanceof IgvmError || error instanceof Interruption) return error;
  const { code = '', message } = innermost(error);
  const known = Object.hasOwn(NETWORK_ERRORS, code) ? NETWORK_ERRORS[code] : undefined;
  const shown = shownUrl(url);
  if (known !== undefined) {
    const what = `${shown} cannot be downloaded: ${known.reason} (${code})`;
    return known.passes ? new Interruption(what) : new IgvmError('DOWNLOAD_FAILED', what, {}, { cause: error });
  }
  const isCertificate = /CERT|SIGNATURE|TLS|SSL/.test(code);
  const cure = isCertificate ? '; NODE_EXTRA_CA_CERTS can name a file with further certificates' : '';
  const text = `${message.replace(/\/\/[^/@\s]*@/g, '//')}${code === '' ? '' : ` (${code})`}`;
  return new IgvmError('DOWNLOAD_FAILED', `${shown} cannot be downloaded: ${text}${cure}`, {}, { cause: error });
}

/** If connections to several addresses fail, there is an error for each. */
function innermost(error: unknown): { code?: string; message: string } {
  if (error instanceof AggregateError && error.errors.length > 0) return innermost(error.errors[0]);
  const { code, message, cause } = error as NodeJS.ErrnoException;
  if (code === undefined && cause instanceof Error) return innermost(cause);
  return { ...(code === undefined ? {} : { code }), message };
}
