import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

export const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** What a server does with a request; `number` is the number of earlier requests. */
export type Behaviour = (request: IncomingMessage, response: ServerResponse, number: number) => void;

/** A web server on this machine with the behaviour that a test gives it. It records its requests. Close it. */
export class LoopbackServer {
  private readonly sockets = new Set<Socket>();
  /** The path of each request, and the headers that matter here. */
  readonly requests: { url: string; range?: string; ifRange?: string; authorization?: string; method: string }[] = [];

  /** Remains set after the server was closed. */
  port = 0;

  private constructor(
    private readonly server: Server,
    behaviour: Behaviour,
  ) {
    server.on('request', (request, response) => {
      const { range, authorization, 'if-range': ifRange } = request.headers;
      const method = request.method ?? '';
      this.requests.push({
        url: request.url ?? '',
        range,
        ifRange: ifRange as string | undefined,
        authorization,
        method,
      });
      behaviour(request, response, this.requests.length - 1);
    });
    server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket)).on('error', () => undefined);
    });
    // As a proxy: a tunnel to the requested address.
    server.on('connect', (request, socket, head) => {
      this.requests.push({ url: request.url ?? '', method: 'CONNECT' });
      const [host, port] = (request.url ?? '').split(':');
      const upstream = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.write(head);
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on('error', () => socket.destroy());
      socket.on('error', () => upstream.destroy());
    });
  }

  static async start(behaviour: Behaviour): Promise<LoopbackServer> {
    const server = createServer();
    const loopback = new LoopbackServer(server, behaviour);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    loopback.port = (server.address() as AddressInfo).port;
    return loopback;
  }

  url(path = '/file'): URL {
    return new URL(path, `http://127.0.0.1:${this.port}`);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Serves bytes correctly, with ranges. @param etag with quotes; none if it is empty */
export function serve(content: Uint8Array, etag = '"one"'): Behaviour {
  return (request, response) => {
    const { range, 'if-range': ifRange } = request.headers;
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    const isPart = from > 0 && (ifRange === undefined || ifRange === etag);
    const size = content.length;
    const tag = etag === '' ? {} : { etag };
    if (isPart && from >= size) {
      response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    } else if (isPart) {
      const part = content.subarray(from);
      const contentRange = `bytes ${from}-${size - 1}/${size}`;
      response.writeHead(206, { ...tag, 'content-range': contentRange, 'content-length': part.length }).end(part);
    } else response.writeHead(200, { ...tag, 'content-length': size }).end(content);
  };
}

/** Serves like {@link serve}, but ends the connection after `after` bytes of each response. */
export function breakOff(content: Uint8Array, after: number, etag = '"one"'): Behaviour {
  const whole = serve(content, etag);
  return (request, response, number) => {
    const end = response.end.bind(response);
    response.end = ((body?: Uint8Array) => {
      if (body === undefined || body.length <= after) return end(body);
      // A little later, because data that arrives together with the end of a connection may be lost.
      response.write(body.subarray(0, after), () => setTimeout(() => response.socket?.destroy(), 300));
      return response;
    }) as typeof response.end;
    whole(request, response, number);
  };
}
