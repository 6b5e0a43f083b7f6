/** One answer of a web server, behind redirects and proxies. */
import { IgvmError } from '../errors/igvm-error';
import { authorizationOf, checkScheme, shownUrl } from './resource-reference';
import type { Agent, Dispatcher } from 'undici';

/** Redirects that are followed for one download. */
const MOST_REDIRECTS = 10;

/** Milliseconds without a byte after which a server counts as silent. */
const PATIENCE = 60_000;

const REDIRECTS = [301, 302, 303, 307, 308];

/** Answers that may be another one a little later. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];

/** What went wrong on the way, and may go right when it is tried again. */
export class Interruption extends Error {}

/** What is asked for. */
export interface HttpRequest {
  url: URL;
  /** First byte that is wanted. */
  from: number;
  /** An ETag or a date: bytes from the middle are of use only when the file still has it. */
  validator?: string;
}

/** What a server gives. */
export interface HttpAnswer {
  /** Where its first byte belongs: what was asked for, or 0 when the server starts from the beginning. */
  from: number;
  /** Bytes of the whole file, if the server says so. It may lie. */
  size?: number;
  /** Names this state of the file for a later request: a strong ETag, or the time of its last change. */
  validator?: string;
  /** What the server says that it did to the bytes, which are stored as they came. */
  encoding?: string;
  /** @throws Interruption when the connection breaks off */
  body: AsyncIterable<Uint8Array>;
  /** Ends the connection; for a body that isn't read to its end. */
  close(): void;
}

/** Connections, through the proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name in either case. Close it. */
export interface HttpClient {
  /**
   * Asks for a file, following redirects.
   * @throws Interruption for what may pass; IgvmError DOWNLOAD_FAILED for what won't, DOWNLOAD_REFUSED for a redirect to where no
   *   one should be sent
   */
  ask(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/** @param patience milliseconds to wait for a silent server */
export function openHttpClient(patience = PATIENCE): HttpClient {
  const { EnvHttpProxyAgent } = require('undici') as typeof import('undici');
  const timeouts: Agent.Options = { headersTimeout: patience, bodyTimeout: patience, connect: { timeout: patience } };
  // A tunnel is for https: many proxies refuse one to port 80.
  let agent: Dispatcher;
  try {
    agent = new EnvHttpProxyAgent({ ...timeouts, proxyTunnel: false });
  } catch {
    // The error would repeat the variable, which may hold a password.
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
    // A password is for the server that it was written for.
    if (next.origin !== url.origin) authorization = undefined;
    url = next;
  }
  throw new IgvmError('DOWNLOAD_REFUSED', `${shownUrl(request.url)} leads to more than ${MOST_REDIRECTS} redirects`);
}

/** Where a redirect leads. @throws IgvmError DOWNLOAD_FAILED, DOWNLOAD_REFUSED */
export function redirectTarget(url: URL, location: string | undefined, status: number): URL {
  if (location === undefined || !URL.canParse(location, url.href)) {
    throw new IgvmError('DOWNLOAD_FAILED', `${shownUrl(url)} redirects (${status}) to no URL`);
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
  // The digest is that of the file, not of a form in which it travels.
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
    // 416: the file is shorter than what is here already. 206: another part, or a part of another file.
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

/** What is here already can't be continued: the download has to begin again. */
export class StaleStart extends Interruption {
  constructor(url: URL) {
    super(`${shownUrl(url)} has another file than the one whose beginning is here`);
  }
}

function encodingOf(response: Dispatcher.ResponseData): Pick<HttpAnswer, 'encoding'> {
  const encoding = headerOf(response, 'content-encoding')?.trim().toLowerCase() ?? '';
  return encoding === '' || encoding === 'identity' ? {} : { encoding };
}

/** A weak ETag is the same for files that only mean the same (RFC 9110, 8.8.1). */
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

/** What errors of the network mean, and whether waiting helps. */
const NETWORK_ERRORS: Readonly<Record<string, { reason: string; passes: boolean }>> = {
  ECONNREFUSED: { reason: 'the connection is refused', passes: false },
  ECONNRESET: { reason: 'the connection broke off', passes: true },
  EHOSTUNREACH: { reason: 'there is no way to this host', passes: false },
  ENETUNREACH: { reason: 'there is no network', passes: false },
  ENOTFOUND: { reason: 'there is no such host, or no network', passes: false },
  EAI_AGAIN: { reason: 'the name of the host cannot be looked up now', passes: false },
  EPIPE: { reason: 'the connection broke off', passes: true },
  ETIMEDOUT: { reason: 'the connection took too long', passes: true },
  UND_ERR_BODY_TIMEOUT: { reason: 'the server fell silent', passes: true },
  UND_ERR_CONNECT_TIMEOUT: { reason: 'the connection took too long', passes: true },
  UND_ERR_HEADERS_TIMEOUT: { reason: 'the server does not answer', passes: true },
  UND_ERR_HEADERS_OVERFLOW: { reason: 'the header of the answer is too large', passes: false },
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: { reason: 'there are more or fewer bytes than the server said', passes: true },
  UND_ERR_SOCKET: { reason: 'the connection broke off', passes: true },
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
  const cure = isCertificate ? '; NODE_EXTRA_CA_CERTS names a file with further certificates' : '';
  const text = `${message.replace(/\/\/[^/@\s]*@/g, '//')}${code === '' ? '' : ` (${code})`}`;
  return new IgvmError('DOWNLOAD_FAILED', `${shown} cannot be downloaded: ${text}${cure}`, {}, { cause: error });
}

/** A failed connection to several addresses has an error for each. */
function innermost(error: unknown): { code?: string; message: string } {
  if (error instanceof AggregateError && error.errors.length > 0) return innermost(error.errors[0]);
  const { code, message, cause } = error as NodeJS.ErrnoException;
  if (code === undefined && cause instanceof Error) return innermost(cause);
  return { ...(code === undefined ? {} : { code }), message };
}
