export interface InitGeneratorSchema {
  skipPackageJson?: boolean;
  skipFormat?: boolean;
}
