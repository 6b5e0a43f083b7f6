export interface InitrdGeneratorSchema {
  name: string;
  directory?: string;
  busybox?: string;
  image?: string;
  tag?: string;
  arch?: 'x64' | 'aarch64';
  compression?: 'none' | 'gzip' | 'zstd';
  useProjectJson?: boolean;
  tags?: string;
  skipFormat?: boolean;
}
