import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { LoopbackServer, serve } from '../../src/resources/loopback-server.fixture';

/** A folder whose files a server on this machine gives. Close it. */
export class WebFolder {
  readonly folder = mkdtempSync(join(tmpdir(), 'nx-igvm-web-'));

  private constructor(private readonly server: LoopbackServer) {}

  static async start(): Promise<WebFolder> {
    let web: WebFolder;
    const server = await LoopbackServer.start((request, response, number) => {
      let content: Buffer;
      try {
        content = readFileSync(join(web.folder, basename(request.url ?? '')));
      } catch {
        response.writeHead(404).end();
        return;
      }
      serve(content)(request, response, number);
    });
    web = new WebFolder(server);
    return web;
  }

  get base(): URL {
    return this.server.url('/');
  }

  /** Requests so far. */
  get requests(): number {
    return this.server.requests.length;
  }

  async close(): Promise<void> {
    await this.server.close();
    rmSync(this.folder, { recursive: true });
  }
}
