import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { downloadAny, downloadPinned, type TransferOptions } from './download';
import { redirectTarget } from './http-answer';
import { type Behaviour, breakOff, LoopbackServer, serve, sha256Of } from './loopback-server.fixture';
import { parseUrl } from './resource-reference';

const CONTENT = randomBytes(300_000);
const SHA256 = sha256Of(CONTENT);

let root: string;
const servers: LoopbackServer[] = [];
const environment = { ...process.env };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'igvm-download-'));
  for (const name of Object.keys(process.env)) if (/_proxy$/i.test(name)) delete process.env[name];
});
afterEach(async () => {
  process.env = { ...environment };
  await Promise.all(servers.splice(0).map((server) => server.close()));
  rmSync(root, { recursive: true });
});

async function start(behaviour: Behaviour): Promise<LoopbackServer> {
  const server = await LoopbackServer.start(behaviour);
  servers.push(server);
  return server;
}

const FAST: TransferOptions = { wait: 1, patience: 300 };
const download = (url: URL, options: TransferOptions = {}, sha256 = SHA256): Promise<Buffer> =>
  downloadPinned(root, url, sha256, { ...FAST, ...options }).then(({ file }) => readFileSync(file));

async function failureOf(promise: Promise<unknown>): Promise<IgvmError> {
  const result = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(result).toBeInstanceOf(IgvmError);
  return result as IgvmError;
}

const leftFiles = (): string[] => readdirSync(join(root, SHA256)).sort();

describe('a download', () => {
  it('happens once, and its file is complete once it has its name', async () => {
    const server = await start(serve(CONTENT));
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests).toHaveLength(1);
    expect(leftFiles()).toEqual(['file']);
  });

  it('happens once for concurrent requests', async () => {
    const server = await start(serve(CONTENT));
    const all = await Promise.all([1, 2, 3].map(() => download(server.url())));
    expect(all.every((each) => each.equals(CONTENT))).toBe(true);
    expect(server.requests).toHaveLength(1);
  });

  it('reports its progress', async () => {
    const server = await start(serve(CONTENT));
    const told: (number | undefined)[][] = [];
    await download(server.url(), { progress: (_, done, total) => void told.push([done, total]) });
    expect(told[0]).toEqual([0, CONTENT.length]);
    expect(told.at(-1)).toEqual([CONTENT.length, CONTENT.length]);
  });

  it('resumes where a connection was lost', async () => {
    const server = await start(breakOff(CONTENT, 100_000));
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests.length).toBeGreaterThan(1);
    const [, second] = server.requests;
    expect(second).toMatchObject({ range: expect.stringMatching(/^bytes=[1-9]\d*-$/), ifRange: '"one"' });
  });

  it('resumes later after it was aborted', async () => {
    let isWell = false;
    const [ill, well] = [breakOff(CONTENT, 0), serve(CONTENT)];
    const first = breakOff(CONTENT, 200_000);
    const server = await start((request, response, number) =>
      (isWell ? well : number === 0 ? first : ill)(request, response, number),
    );
    expect(await failureOf(download(server.url()))).toMatchObject({ code: 'DOWNLOAD_FAILED' });
    expect(leftFiles()).toEqual(['part', 'part.json']);
    isWell = true;
    const before = server.requests.length;
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests.slice(before)).toEqual([
      expect.objectContaining({ range: expect.stringMatching(/^bytes=[1-9]\d*-$/) }),
    ]);
    expect(leftFiles()).toEqual(['file']);
  });

  it('restarts when the file on the server has changed', async () => {
    const other = randomBytes(CONTENT.length);
    const [old, current] = [breakOff(other, 100_000, '"old"'), serve(CONTENT, '"new"')];
    const server = await start((request, response, number) =>
      (number === 0 ? old : current)(request, response, number),
    );
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests[1]).toMatchObject({ ifRange: '"old"' });
  });

  it('restarts when the server resumes with another file although the request forbids it', async () => {
    const other = randomBytes(CONTENT.length);
    const old = breakOff(other, 100_000, '"old"');
    const server = await start((request, response, number) => {
      if (number === 0) return old(request, response, number);
      delete request.headers['if-range'];
      return serve(CONTENT, '"new"')(request, response, number);
    });
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests.map(({ range }) => range === undefined)).toEqual([true, false, true]);
  });

  it('restarts when the server sends no validator and the parts do not match', async () => {
    const old = breakOff(randomBytes(CONTENT.length), 100_000, '');
    const server = await start((request, response, number) =>
      (number === 0 ? old : serve(CONTENT, ''))(request, response, number),
    );
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests.at(-1)).toMatchObject({ range: undefined });
  });

  it('restarts when the partial file is larger than the file on the server', async () => {
    const long = breakOff(randomBytes(2 * CONTENT.length), 400_000, '');
    const server = await start((request, response, number) =>
      (number === 0 ? long : serve(CONTENT, ''))(request, response, number),
    );
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
  });

  it('does not resume a file from another URL', async () => {
    const server = await start(serve(CONTENT));
    mkdirSync(join(root, SHA256));
    writeFileSync(join(root, SHA256, 'part'), 'the beginning of something else');
    writeFileSync(
      join(root, SHA256, 'part.json'),
      JSON.stringify({ from: sha256Of('http://elsewhere/'), validator: '"one"' }),
    );
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests).toEqual([expect.objectContaining({ range: undefined })]);
  });

  it('retries temporary errors only', async () => {
    const server = await start((request, response, number) =>
      number < 2 ? response.writeHead(503).end('busy') : serve(CONTENT)(request, response, number),
    );
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    const gone = await start((_, response) => response.writeHead(404).end());
    expect((await failureOf(download(gone.url(), {}, sha256Of('')))).message).toContain('answers with status 404');
    expect(gone.requests).toHaveLength(1);
  });

  it('is refused when its digest differs, and leaves nothing behind', async () => {
    const server = await start(serve(Buffer.from('something else')));
    const error = await failureOf(download(server.url()));
    expect(error.code).toBe('RESOURCE_DIGEST');
    expect(error.message).toContain(`has the SHA-256 ${sha256Of('something else')}, not ${SHA256}`);
    expect(leftFiles()).toEqual([]);
  });

  it('is stored as the server sent it, whatever its Content-Encoding', async () => {
    const server = await start((request, response, number) => {
      response.setHeader('content-encoding', 'gzip');
      serve(CONTENT)(request, response, number);
    });
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    const error = await failureOf(download(server.url(), {}, '0'.repeat(64)));
    expect(error.message).toContain('; the server sent it with the encoding "gzip" without being asked');
  });

  it('without a stated digest is stored under its actual digest', async () => {
    const server = await start(serve(CONTENT));
    const { sha256, kept } = await downloadAny(root, server.url(), FAST);
    expect(sha256).toBe(SHA256);
    expect(readFileSync(kept.file).equals(CONTENT)).toBe(true);
    expect(readdirSync(root)).toEqual([SHA256]);
    await download(server.url());
    expect(server.requests).toHaveLength(1);
  });
});

/** A server that answers with arbitrary bytes, HTTP or not. */
async function startRaw(answer: string, stays = false): Promise<{ url: URL; server: Server }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => (stays ? socket.write(answer) : socket.end(answer)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`), server };
}

describe('a server', () => {
  it.each([
    [
      'that promises more bytes than it sends',
      'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort',
      false,
      'DOWNLOAD_FAILED',
    ],
    [
      'that sends more bytes than it promised',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlong',
      false,
      'RESOURCE_DIGEST',
    ],
    ['with a length below zero', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nlong', false, 'DOWNLOAD_FAILED'],
    [
      'with two lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 4\r\n\r\nlong',
      false,
      'DOWNLOAD_FAILED',
    ],
    [
      'that ends a chunk early',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nshort',
      false,
      'DOWNLOAD_FAILED',
    ],
    [
      'that sends a part that was not requested',
      'HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789',
      false,
      'DOWNLOAD_FAILED',
    ],
    ['that does not speak HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', false, 'DOWNLOAD_FAILED'],
    ['that stops sending', 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort', true, 'DOWNLOAD_FAILED'],
    ['that sends nothing', '', true, 'DOWNLOAD_FAILED'],
    [
      'with a header that is too large',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}\r\n\r\n`,
      false,
      'DOWNLOAD_FAILED',
    ],
  ])('%s yields no file', async (_, answer, stays, code) => {
    const { url, server } = await startRaw(answer, stays);
    try {
      expect((await failureOf(download(url, { patience: 100, attempts: stays ? 1 : 3 }))).code).toBe(code);
      expect(existsSync(join(root, SHA256, 'file'))).toBe(false);
    } finally {
      server.close();
    }
  });

  it('that cannot be reached is named, with advice', async () => {
    const error = await failureOf(download(new URL('http://127.0.0.1:9/a?token=secret')));
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(error.message).toBe(
      'http://127.0.0.1:9/a?… cannot be downloaded: the connection was refused (ECONNREFUSED)',
    );
  });

  it('that never stops sending is cut off at the limit, and nothing is left behind', async () => {
    const server = await start((_, response) => {
      const more = (): void =>
        void response.write(Buffer.alloc(65536), (error) => (error ? undefined : setImmediate(more)));
      more();
    });
    const error = await failureOf(download(server.url(), { limit: 1_000_000 }));
    expect(error.code).toBe('DOWNLOAD_REFUSED');
    expect(error.message).toContain('more than 1000000 bytes');
    expect(leftFiles()).toEqual([]);
  });

  it('that announces more than the limit is refused before it sends', async () => {
    const server = await start((_, response) => response.writeHead(200, { 'content-length': 2 ** 40 }).write('x'));
    expect((await failureOf(download(server.url()))).code).toBe('DOWNLOAD_REFUSED');
  });

  it('that drops the connection again and again is given up', async () => {
    const server = await start(breakOff(CONTENT, 10));
    const error = await failureOf(download(server.url(), { wait: 0 }));
    expect(error.code).toBe('DOWNLOAD_FAILED');
    expect(server.requests.length).toBeLessThanOrEqual(100);
  });
});

describe('a redirect', () => {
  it('is followed', async () => {
    const server = await start((request, response, number) =>
      request.url === '/file'
        ? response.writeHead(302, { location: '/there?x=1' }).end()
        : serve(CONTENT)(request, response, number),
    );
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    expect(server.requests.map(({ url }) => url)).toEqual(['/file', '/there?x=1']);
  });

  it.each([301, 302, 303, 307, 308])('in a loop is refused (%d)', async (status) => {
    const server = await start((_, response, number) => response.writeHead(status, { location: `/${number}` }).end());
    const error = await failureOf(download(server.url()));
    expect([error.code, error.message]).toEqual([
      'DOWNLOAD_REFUSED',
      expect.stringContaining('more than 10 redirects'),
    ]);
    expect(server.requests).toHaveLength(11);
  });

  it.each([
    ['file:///etc/passwd', 'DOWNLOAD_REFUSED'],
    ['ftp://127.0.0.1/x', 'DOWNLOAD_REFUSED'],
    ['data:,x', 'DOWNLOAD_REFUSED'],
    ['http://', 'DOWNLOAD_FAILED'],
  ])('to %s is refused', async (location, code) => {
    const server = await start((_, response) => response.writeHead(302, { location }).end());
    expect((await failureOf(download(server.url()))).code).toBe(code);
  });

  it('may lead from http to https, but not back', () => {
    const leads = (from: string, to: string) => () => redirectTarget(new URL(from), to, 302).href;
    expect(leads('http://a/x', 'https://b/y')()).toBe('https://b/y');
    expect(leads('https://a/x', '/y')()).toBe('https://a/y');
    expect(leads('https://a/x', 'http://u:secret@a/x?secret')).toThrow(
      /^https:\/\/a\/x redirects from https to http:\/\/a\/x\?…$/,
    );
  });
});

describe('a password in a URL', () => {
  const withPassword = (url: URL): URL => Object.assign(new URL(url), { username: 'me', password: 's%3Acret' });

  it('is sent to its server, and not to targets of redirects', async () => {
    const other = await start(serve(CONTENT));
    const server = await start((_, response) => response.writeHead(302, { location: other.url().href }).end());
    expect((await download(withPassword(server.url()))).equals(CONTENT)).toBe(true);
    const expected = `Basic ${Buffer.from('me:s:cret').toString('base64')}`;
    expect([server, other].map(({ requests }) => requests[0]?.authorization)).toEqual([expected, undefined]);
  });

  it('is in no message and not on the disk', async () => {
    const server = await start(breakOff(CONTENT, 1000));
    const error = await failureOf(download(withPassword(server.url()), { wait: 0 }));
    expect(error.format()).not.toMatch(/cret|me:/);
    expect(readFileSync(join(root, SHA256, 'part.json'), 'utf8')).not.toMatch(/cret/);
    expect(() => parseUrl('ftp://me:s%3Acret@host/')).toThrow(
      /^only http and https are supported, and this URL begins with "ftp:"$/,
    );
    expect(() => parseUrl('https://me:secret@')).toThrow('this is not a URL');
  });
});

describe('a proxy', () => {
  const viaProxy = async (variable: string, more: NodeJS.ProcessEnv = {}) => {
    const server = await start(serve(CONTENT));
    const proxy = await start((request, response, number) => serve(CONTENT)(request, response, number));
    Object.assign(process.env, { [variable]: `http://127.0.0.1:${proxy.port}`, ...more });
    expect((await download(server.url())).equals(CONTENT)).toBe(true);
    return { direct: server.requests.length, proxied: proxy.requests };
  };

  it.each(['HTTP_PROXY', 'http_proxy'])('of %s is used', async (variable) => {
    const { proxied } = await viaProxy(variable);
    expect(proxied.map(({ method }) => method)).toEqual(['GET']);
  });

  it.each(['NO_PROXY', 'no_proxy'])('is not used for hosts of %s', async (variable) => {
    const { direct, proxied } = await viaProxy('HTTP_PROXY', { [variable]: 'localhost,127.0.0.1' });
    expect([direct, proxied.length]).toEqual([1, 0]);
  });

  it.each(['HTTPS_PROXY', 'https_proxy'])('of %s gets a tunnel for https', async (variable) => {
    const server = await start(serve(CONTENT));
    const proxy = await start(serve(CONTENT));
    process.env[variable] = `http://127.0.0.1:${proxy.port}`;
    const url = new URL(`https://127.0.0.1:${server.port}/`);
    expect((await failureOf(download(url))).code).toBe('DOWNLOAD_FAILED');
    expect(proxy.requests[0]).toEqual({ url: `127.0.0.1:${server.port}`, method: 'CONNECT' });
  });

  it('that is not a URL is named, and its password is not', async () => {
    process.env['HTTP_PROXY'] = 'me:secret@proxy';
    const error = await failureOf(download(new URL('http://127.0.0.1:9/')));
    expect(error.format()).toMatch(/proxy/i);
    expect(error.format()).not.toContain('secret');
  });
});
