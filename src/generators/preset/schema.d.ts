export interface PresetGeneratorSchema {
  name: string;
  kernel?: string;
  busybox?: string;
  skipFormat?: boolean;
}
