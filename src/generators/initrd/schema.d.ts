export interface InitrdGeneratorSchema {
  name: string;
  directory?: string;
  busybox?: string;
  compression?: 'none' | 'gzip' | 'zstd';
  useProjectJson?: boolean;
  tags?: string;
  skipFormat?: boolean;
}
