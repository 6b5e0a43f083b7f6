import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A remote cache with Nx's self-hosted API (`GET` and `PUT /v1/cache/{hash}`, a bearer token). It listens on loopback and keeps
 * everything in memory.
 */
export class CacheServer {
  readonly artifacts = new Map<string, Buffer>();
  /** The requests so far: method and status. */
  readonly requests: string[] = [];

  private constructor(
    private readonly server: Server,
    readonly token: string,
  ) {}

  static async start(): Promise<CacheServer> {
    const server = createServer();
    const cache = new CacheServer(server, 'loopback');
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const method = request.method ?? '';
        const [status, body] = cache.answer(
          method,
          request.url ?? '',
          request.headers.authorization,
          Buffer.concat(chunks),
        );
        cache.requests.push(`${method} ${status}`);
        response.writeHead(status, { 'content-type': 'application/octet-stream', 'content-length': body.length });
        response.end(body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return cache;
  }

  /** The variables that tell Nx about it. */
  get env(): NodeJS.ProcessEnv {
    const { port } = this.server.address() as AddressInfo;
    return {
      NX_SELF_HOSTED_REMOTE_CACHE_SERVER: `http://127.0.0.1:${port}`,
      NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: this.token,
    };
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private answer(method: string, url: string, authorization: string | undefined, body: Buffer): [number, Buffer] {
    const none = Buffer.alloc(0);
    const hash = /^\/v1\/cache\/(\w+)$/.exec(url)?.[1];
    if (hash === undefined) return [404, none];
    if (authorization !== `Bearer ${this.token}`) return [401, none];
    const artifact = this.artifacts.get(hash);
    if (method === 'GET') return artifact === undefined ? [404, none] : [200, artifact];
    if (method !== 'PUT') return [405, none];
    if (artifact !== undefined) return [409, none];
    this.artifacts.set(hash, body);
    return [200, none];
  }
}
