import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOk } from './run';
import { template } from './template';

/** A version of the packed plugin in the registry. */
interface Release {
  manifest: { version: string };
  tarball: Buffer;
}

/**
 * An npm registry on loopback with two versions of the plugin: the packed one, and an older one with the same code. It redirects
 * requests for other packages to the registry that npm is configured with.
 */
export class Registry {
  /** The version of the packed plugin, which is the newest. */
  readonly newest: string;

  private constructor(
    private readonly server: Server,
    private readonly releases: readonly Release[],
    private readonly upstream: string,
  ) {
    this.newest = releases.at(-1)!.manifest.version;
  }

  /** @param older version of the other release, below the packed one */
  static async start(older: string): Promise<Registry> {
    const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-registry-'));
    try {
      const upstream = (await runOk('npm', ['config', 'get', 'registry'], { cwd: folder })).trim();
      const packed = readFileSync(template().tarball);
      await runOk('tar', ['-xzf', template().tarball], { cwd: folder });
      const path = join(folder, 'package', 'package.json');
      const manifest = JSON.parse(readFileSync(path, 'utf8')) as Release['manifest'];
      const olderManifest = { ...manifest, version: older };
      writeFileSync(path, `${JSON.stringify(olderManifest, null, 2)}\n`);
      await runOk('tar', ['-czf', 'older.tgz', 'package'], { cwd: folder });
      const releases = [
        { manifest: olderManifest, tarball: readFileSync(join(folder, 'older.tgz')) },
        { manifest, tarball: packed },
      ];
      const server = createServer();
      const registry = new Registry(server, releases, upstream);
      server.on('request', ({ url = '' }, response) => {
        const answer = registry.answer(url);
        if (answer === undefined) response.writeHead(302, { location: new URL(url.slice(1), upstream).href }).end();
        else response.writeHead(200, { 'content-type': answer.type }).end(answer.body);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return registry;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** The environment in which npm, and Nx with it, use the registry. */
  get env(): NodeJS.ProcessEnv {
    return { npm_config_registry: this.url, npm_config_audit: 'false', npm_config_fund: 'false' };
  }

  private get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  /** Undefined for requests that are not about the plugin. */
  private answer(url: string): { type: string; body: string | Buffer } | undefined {
    if (url === '/nx-igvm') return { type: 'application/json', body: JSON.stringify(this.document()) };
    const release = this.releases.find(({ manifest }) => url === `/nx-igvm/-/nx-igvm-${manifest.version}.tgz`);
    return release && { type: 'application/octet-stream', body: release.tarball };
  }

  /** The registry's document about all versions. */
  private document(): object {
    const versions = this.releases.map(({ manifest, tarball }) => {
      const { version } = manifest;
      const dist = {
        tarball: `${this.url}nx-igvm/-/nx-igvm-${version}.tgz`,
        integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}`,
      };
      return [version, { ...manifest, dist }];
    });
    return { name: 'nx-igvm', 'dist-tags': { latest: this.newest }, versions: Object.fromEntries(versions) as object };
  }
}
