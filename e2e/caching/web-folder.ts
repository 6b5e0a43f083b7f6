import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { LoopbackServer, serve } from '../../src/resources/loopback-server.fixture';

/** A folder that a local server publishes. Close it after use. */
export class WebFolder {
  private constructor(
    readonly folder: string,
    private readonly server: LoopbackServer,
  ) {}

  static async start(): Promise<WebFolder> {
    const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-web-'));
    const server = await LoopbackServer.start((request, response, number) => {
      let content: Buffer;
      try {
        content = readFileSync(join(folder, basename(request.url ?? '')));
      } catch {
        response.writeHead(404).end();
        return;
      }
      serve(content)(request, response, number);
    });
    return new WebFolder(folder, server);
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
